"""The NVIDIA device plugin."""

from collections.abc import Mapping
from typing import ClassVar

from config.base import Cores, DnsLabel, Image, MemoryMib, Section
from config.sections.pods import PullSecrets
from config.versions import DEVICE_PLUGIN_IMAGE


class DevicePlugin(Section):
    """The daemon set that advertises GPUs; in a namespace of its own because it needs hostPath."""

    removed: ClassVar[Mapping[str, str]] = {
        "timeSlices": "`gpuSharing.kind` timeSlicing takes its place, with `gpuSharing.slices`"
    }

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
