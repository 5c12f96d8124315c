"""Models of the parameters, one for each section of a stack file."""

from config.sections.autoscaler import Autoscaler
from config.sections.device_plugin import DevicePlugin
from config.sections.gateway import Gateway
from config.sections.gpu_nodes import GpuNodes
from config.sections.inference import InferenceStack
from config.sections.keda import ExistingKeda, HelmKeda
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from config.sections.traffic import Traffic
from config.sections.triton import ConfigMapRepository, PvcRepository, S3Repository, Triton
from config.settings import Settings

__all__ = [
    "Autoscaler",
    "ConfigMapRepository",
    "DevicePlugin",
    "ExistingKeda",
    "ExistingPrometheus",
    "Gateway",
    "GpuNodes",
    "HelmKeda",
    "InferenceStack",
    "ManagedPrometheus",
    "PvcRepository",
    "S3Repository",
    "Settings",
    "Traffic",
    "Triton",
]
