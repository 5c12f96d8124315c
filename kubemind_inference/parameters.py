"""Models of the parameters, one for each section of a stack file."""

from config.sections.autoscaler import Autoscaler, Demand, InFlight
from config.sections.device_plugin import DevicePlugin
from config.sections.gateway import Gateway
from config.sections.gpu_nodes import ExistingNodes, GpuNodes
from config.sections.inference import InferenceStack
from config.sections.karpenter import Karpenter, KarpenterPool
from config.sections.keda import ExistingKeda, HelmKeda
from config.sections.node_groups import EksNodeGroups, NodeGroup
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from config.sections.traffic import Traffic
from config.sections.triton import ConfigMapRepository, PvcRepository, S3Repository, Triton
from config.settings import Settings

__all__ = [
    "Autoscaler",
    "ConfigMapRepository",
    "Demand",
    "DevicePlugin",
    "EksNodeGroups",
    "ExistingKeda",
    "ExistingNodes",
    "ExistingPrometheus",
    "Gateway",
    "GpuNodes",
    "HelmKeda",
    "InFlight",
    "InferenceStack",
    "Karpenter",
    "KarpenterPool",
    "ManagedPrometheus",
    "NodeGroup",
    "PvcRepository",
    "S3Repository",
    "Settings",
    "Traffic",
    "Triton",
]
