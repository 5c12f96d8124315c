"""The stack's kinds of pods, with the templates of their workloads and the numbers of pods.

It does not read `config.inventory`: a pod template belongs to its component.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.common.pods import Manifest
from components.gateway import workload as gateway
from components.gpus import device_plugin_workload as device_plugin
from components.monitoring import workload as prometheus
from components.spare import workload as spare
from components.triton import model_repository
from components.triton import workload as triton
from components.triton.model_repository import Repository
from config.checks.stack_paths import StackAt, stacks
from config.sections.prometheus import ManagedPrometheus
from config.sections.triton import PvcRepository, S3Repository, Triton
from config.settings import Settings

_UNKNOWN = "preflight"
"""Stand-in for names that depend on contents; admission reads no ConfigMap."""


@dataclass(frozen=True, kw_only=True)
class PodKind:
    """Pods of one workload."""

    who: str
    """Owner of the pods, for messages: `Triton's`."""

    key: str
    """YAML key of their namespace."""

    namespace: str
    """Their namespace."""

    template: Manifest
    """Pod template of the workload."""

    fewest: int
    """Fewest pods."""

    most: int
    """Most pods, with the surge of a rollout."""

    makes_priority_class: bool = False
    """True if the stack creates their PriorityClass."""


def kinds(settings: Settings) -> Iterator[PodKind]:
    """Yield the kinds of pods, except those of a chart."""
    for at in stacks(settings):
        yield from _inference(settings, at)
    managed = settings.prometheus
    # By kind: sections know no pods.
    if isinstance(managed, ManagedPrometheus):
        spec = prometheus.deployment_spec(managed, _UNKNOWN)
        # A volume has one writer at a time, so the old pod ends before the new one is created.
        most = 1 if managed.persistent_volume else 2
        yield PodKind(
            who="Prometheus'",
            key="prometheus.namespace",
            namespace=managed.namespace,
            template=spec["template"],
            fewest=1,
            most=most,
        )
    if settings.device_plugin_enabled:
        plugin, nodes = settings.device_plugin, settings.gpu_nodes.pool
        yield PodKind(
            who="the device plugin's",
            key="devicePlugin.namespace",
            namespace=plugin.namespace,
            template=device_plugin.daemon_set_spec(plugin, nodes, settings.gpu_sharing)["template"],
            fewest=sum(pool.nodes.fewest or 0 for pool in settings.gpu_nodes.pools),
            most=sum(pool.nodes.max_size for pool in settings.gpu_nodes.pools),
        )


def _inference(settings: Settings, at: StackAt) -> Iterator[PodKind]:
    stack = at.stack
    spec = triton.deployment_spec(
        stack,
        settings.gpu_nodes.pool,
        _repository(stack.triton),
        settings.prometheus,
        settings.gpu_sharing,
    )
    yield PodKind(
        who="Triton's",
        key=at.key("namespace"),
        namespace=stack.namespace,
        template=spec["template"],
        fewest=stack.autoscaler.min_replicas,
        most=stack.surge_replicas,
    )
    if spares := stack.triton.warm_spare.replicas:
        yield PodKind(
            who="the warm spares'",
            key=at.key("namespace"),
            namespace=stack.namespace,
            template=spare.deployment_spec(stack, spec["template"]["spec"])["template"],
            fewest=spares,
            most=spares,
            makes_priority_class=True,
        )
    spec = gateway.deployment_spec(stack, {}, settings.prometheus)
    yield PodKind(
        who="the gateway's",
        key=at.key("namespace"),
        namespace=stack.namespace,
        template=spec["template"],
        fewest=stack.gateway.replicas,
        most=stack.gateway.replicas + 1,
    )


def _repository(stated: Triton) -> Repository:
    # By kind: sections know no volumes and no init containers.
    match stated.model_repository:
        case S3Repository() as s3:
            return model_repository.s3(s3, stated)
        case PvcRepository() as pvc:
            return model_repository.pvc(pvc, stated)
        case _:
            return model_repository.config_map(_UNKNOWN, {"model/config.pbtxt": b""})
