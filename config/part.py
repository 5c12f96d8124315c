"""One part of the stack, as the inventory declares it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from config.flows import Flow
from config.sections.pods import PodOptions
from config.sizing.packing import Pods

PodSecurity = Literal["restricted", "privileged"]


class ApiResource(NamedTuple):
    """A kind of API objects in one namespace."""

    group: str
    """API group; empty for the core group."""

    resource: str
    """Name of the resource, such as `deployments`."""

    namespace: str = ""
    """Namespace; empty for a resource of the whole cluster."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the stack."""

    key: str
    """YAML path of its parameters, such as `inference[0].gateway`."""

    title: str
    """Name in messages, such as `a gateway`."""

    namespace: str
    """Namespace that it runs in."""

    namespace_key: str
    """YAML path of the parameter that names the namespace."""

    pod_security: PodSecurity | None = "restricted"
    """Pod security level of the namespace; None where the stack does not create the namespace."""

    namespace_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels that the namespace needs, beside those of pod security."""

    closed: bool = True
    """True if the namespace denies all traffic by default."""

    images: Mapping[str, str] = field(default_factory=dict[str, str])
    """Images that it runs, by the YAML path of each."""

    pull_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Secrets with credentials for its registries, by the YAML path that names them."""

    pods: PodOptions | None = None
    """The user's options of its pods, at the key `pods` of its parameters; None for none."""

    on_gpu_nodes: bool = False
    """True if its pods request GPUs."""

    cpu_pods: Pods | None = None
    """Largest number of pods that nodes without GPUs must hold at once; None for no such pods."""

    resources: tuple[ApiResource, ...] = ()
    """API objects that it creates, beside the namespace and its default deny. Those of a Helm chart
    are not known."""

    watched: tuple[ApiResource, ...] = ()
    """API objects that Pulumi watches for it, beside those of every workload of its kind."""

    granted: tuple[tuple[ApiResource, tuple[str, ...]], ...] = ()
    """Verbs that its Roles grant."""

    flows: tuple[Flow, ...] = ()
    """Connections that it needs, to and from its pods."""

    @property
    def default_deny(self) -> bool:
        """True if the stack creates its namespace and a policy that denies all traffic in it."""
        return self.pod_security is not None and self.closed
