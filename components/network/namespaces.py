"""The namespaces of the stack: the pod security level of each, and its default deny."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.labels import PART_OF, PART_OF_LABEL, namespace_labels
from components.network.policies import DEFAULT_DENY
from config.part import Part, PodSecurity
from config.versions import POD_SECURITY_VERSION


@dataclass(frozen=True, kw_only=True)
class NamespacesArgs:
    """The parts that run in namespaces."""

    parts: Iterable[Part]
    protect: bool = False
    """True if the engine must refuse to delete a namespace; its policies can be replaced."""


class Namespaces(pulumi.ComponentResource):
    """Each namespace once, with its pod security level; all but KEDA's deny all traffic.

    The chart of KEDA knows the network needs of its pods. The namespaces of an existing KEDA or
    Prometheus stay as they are. Pulumi never deletes a namespace, because that would delete all
    objects in it, other teams' too; `make destroy` deletes an empty one.
    """

    names: pulumi.Output[list[str]]
    """Names of all of them, sorted."""

    def __init__(
        self, name: str, args: NamespacesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:Namespaces", name, None, opts)
        parts = list(args.parts)
        levels: dict[str, PodSecurity] = {
            part.namespace: part.pod_security for part in parts if part.pod_security
        }
        closed = {part.namespace for part in parts if part.default_deny}
        self._made: defaultdict[str, list[pulumi.Resource]] = defaultdict(list)
        ours = namespace_labels(pulumi.get_stack())
        needed: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for part in parts:
            needed[part.namespace].update(part.namespace_labels)
        for namespace, level in sorted(levels.items()):
            resource = kubernetes.core.v1.Namespace(
                f"{name}-{namespace}",
                metadata=kubernetes.meta.v1.ObjectMetaArgs(
                    name=namespace, labels={**ours, **_pod_security(level), **needed[namespace]}
                ),
                opts=pulumi.ResourceOptions(
                    parent=self, retain_on_delete=True, protect=args.protect
                ),
            )
            self._made[namespace].append(resource)
            if namespace in closed:
                deny = kubernetes.networking.v1.NetworkPolicy(
                    f"{name}-{namespace}-default-deny",
                    metadata=kubernetes.meta.v1.ObjectMetaArgs(
                        name="default-deny",
                        namespace=namespace,
                        labels={PART_OF_LABEL: PART_OF},
                    ),
                    spec=DEFAULT_DENY,
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[resource]),
                )
                self._made[namespace].append(deny)
        self.names = pulumi.Output.from_input(sorted(levels))
        self.register_outputs({"names": self.names})

    def of(self, namespace: str) -> list[pulumi.Resource]:
        """Return one namespace with its default deny; empty if the program does not create it.

        A stack depends on these alone. If each of many stacks depended on every namespace, the
        state would grow with the square of their number.
        """
        return list(self._made.get(namespace, ()))


def _pod_security(level: PodSecurity) -> dict[str, str]:
    prefix = "pod-security.kubernetes.io"
    return {
        **{f"{prefix}/{mode}": level for mode in ("enforce", "audit", "warn")},
        # The others keep `latest`: they announce pods that a later version would refuse.
        f"{prefix}/enforce-version": POD_SECURITY_VERSION,
    }
