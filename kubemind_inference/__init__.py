"""Components of an inference stack, for Pulumi programs of other teams.

Each name is imported when a program first uses it, so that a program pays for the parts that it
declares. `parameters` has the models of the parameters.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from components.autoscaler.keda import KedaRelease, KedaReleaseArgs
    from components.contract import ContractError, InferenceOutputs, SharedOutputs
    from components.gpus.device_plugin import DevicePlugin, DevicePluginArgs
    from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs
    from components.gpus.node_pool import GpuNodePool, GpuNodePoolArgs
    from components.inference import Inference, InferenceArgs
    from components.monitoring.component import (
        PodMonitors,
        PodMonitorsArgs,
        Prometheus,
        PrometheusArgs,
    )
    from components.network.namespaces import Namespaces, NamespacesArgs
    from components.rollout.component import Rollout, await_rollouts
    from components.triton.eks_cluster import EksCluster
    from config.load import Refused, parse
    from config.settings import Settings

__all__ = [
    "ContractError",
    "DevicePlugin",
    "DevicePluginArgs",
    "EksCluster",
    "GpuNodeGroup",
    "GpuNodeGroupArgs",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "Inference",
    "InferenceArgs",
    "InferenceOutputs",
    "KedaRelease",
    "KedaReleaseArgs",
    "Namespaces",
    "NamespacesArgs",
    "PodMonitors",
    "PodMonitorsArgs",
    "Prometheus",
    "PrometheusArgs",
    "Refused",
    "Rollout",
    "Settings",
    "SharedOutputs",
    "await_rollouts",
    "parse",
]


# Type checkers must not take a misspelt name for one that this function might know.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the module of a name."""
        return getattr(_home(name), name)


def _home(name: str) -> "ModuleType":
    match name:
        case "Inference" | "InferenceArgs":
            from components import inference as home
        case "EksCluster":
            from components.triton import eks_cluster as home
        case "GpuNodeGroup" | "GpuNodeGroupArgs":
            # Loads pulumi_aws, which takes 1.5 s and 60 MB.
            from components.gpus import node_group as home
        case "GpuNodePool" | "GpuNodePoolArgs":
            from components.gpus import node_pool as home
        case "DevicePlugin" | "DevicePluginArgs":
            from components.gpus import device_plugin as home
        case "Prometheus" | "PrometheusArgs" | "PodMonitors" | "PodMonitorsArgs":
            from components.monitoring import component as home
        case "KedaRelease" | "KedaReleaseArgs":
            from components.autoscaler import keda as home
        case "Namespaces" | "NamespacesArgs":
            from components.network import namespaces as home
        case "Rollout" | "await_rollouts":
            from components.rollout import component as home
        case "InferenceOutputs" | "SharedOutputs" | "ContractError":
            from components import contract as home
        case "Refused" | "parse":
            from config import load as home
        case "Settings":
            from config import settings as home
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return home
