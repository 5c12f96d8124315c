"""The NVIDIA device plugin."""

from pydantic import Field

from config.base import Cores, DnsLabel, Image, MemoryMib, Section
from config.sections.pods import PullSecrets
from config.versions import DEVICE_PLUGIN_IMAGE


class DevicePlugin(Section):
    """The daemon set that advertises GPUs; in a namespace of its own because it needs hostPath."""

    enabled: bool | None = None
    """True to run the plugin; if unset, true unless the AMI includes its own plugin."""

    image: Image = DEVICE_PLUGIN_IMAGE
    """Image of the plugin."""

    cpu: Cores = 0.05
    """CPU request of the plugin on each GPU node, cores."""

    memory_mib: MemoryMib = 128
    """Memory request and limit of the plugin, MiB."""

    image_pull_secrets: PullSecrets = ()
    """Secrets with credentials for the registry, in the plugin's namespace."""

    namespace: DnsLabel = "nvidia-device-plugin"
    """Namespace of its own, the only one with the `privileged` pod security level."""

    time_slices: int = Field(default=1, ge=1, le=128)
    """Pods that share one GPU by time-slicing; 1 shares nothing. Memory is not divided."""
