"""Sharing of one GPU by several replicas; each kind answers for all that differs by it."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from config.base import Section
from config.sections.gpu_nodes import GPU_RESOURCE

Tables = dict[str, dict[str, object]]
"""Tables of Bottlerocket's settings by name (bottlerocket.dev, 1.54.x,
`settings.kubelet-device-plugins`), with which its own device plugin shares GPUs."""

_BOTTLEROCKET = "settings.kubelet-device-plugins.nvidia"

Configuration = dict[str, Any]
"""Contents of the device plugin's configuration file, version v1 (NVIDIA/k8s-device-plugin,
`api/config/v1`); empty if it needs none."""


class NotShared(Section):
    """Each replica has GPUs of its own."""

    needs_sys_admin: ClassVar[bool] = False
    needs_mps_daemon: ClassVar[bool] = False
    resource: ClassVar[str] = GPU_RESOURCE
    shares: ClassVar[str] = "GPUs"
    """Name of what replicas request, for messages."""
    per_gpu: ClassVar[int] = 1
    plugin_configuration: ClassVar[Configuration] = {}
    bottlerocket: ClassVar[Tables | None] = {}

    kind: Literal["none"] = "none"
    """Each replica has GPUs of its own."""


class TimeSlicing(Section):
    """Replicas take turns on a GPU; its memory is not divided."""

    needs_sys_admin: ClassVar[bool] = False
    needs_mps_daemon: ClassVar[bool] = False
    resource: ClassVar[str] = GPU_RESOURCE
    shares: ClassVar[str] = "time slices"

    kind: Literal["timeSlicing"]
    """Replicas take turns on a GPU; its memory is not divided."""

    slices: int = Field(ge=2, le=128)
    """Time slices of each GPU."""

    @property
    def per_gpu(self) -> int:
        """Time slices of one GPU."""
        return self.slices

    @property
    def plugin_configuration(self) -> Configuration:
        """Contents of the device plugin's configuration file."""
        return _replicated("timeSlicing", self.slices)

    @property
    def bottlerocket(self) -> Tables | None:
        """Settings of Bottlerocket; None if the stack writes none for this kind."""
        slicing: dict[str, object] = {
            "replicas": self.slices,
            # Renamed shares would be another resource than the one that replicas request.
            "rename-by-default": False,
            "fail-requests-greater-than-one": True,
        }
        return {
            _BOTTLEROCKET: {"device-sharing-strategy": "time-slicing"},
            f"{_BOTTLEROCKET}.time-slicing": slicing,
        }


class Mps(Section):
    """CUDA's Multi-Process Service runs several replicas on a GPU at once."""

    bottlerocket: ClassVar[Tables | None] = None
    needs_sys_admin: ClassVar[bool] = False
    needs_mps_daemon: ClassVar[bool] = True
    """True because the plugin shares GPUs only with a running control daemon
    (`internal/plugin/mps.go`)."""

    resource: ClassVar[str] = GPU_RESOURCE
    shares: ClassVar[str] = "clients of MPS"

    kind: Literal["mps"]
    """CUDA's Multi-Process Service runs several replicas on a GPU at once, each with an equal share
    of its memory and threads. Its control daemon is privileged, and the replicas of a node share
    one `/dev/shm`. NVIDIA calls it experimental in its device plugin."""

    clients: int = Field(ge=2, le=48)
    """Clients of each GPU; the plugin allows 48, and 16 on GPUs before compute capability 7.5."""

    @property
    def per_gpu(self) -> int:
        """Clients of one GPU."""
        return self.clients

    @property
    def plugin_configuration(self) -> Configuration:
        """Contents of the device plugin's configuration file."""
        return _replicated("mps", self.clients)


class Mig(Section):
    """Each GPU is divided into devices with memory and processors of their own."""

    needs_sys_admin: ClassVar[bool] = True
    """True because the plugin watches the health of MIG devices (its Helm chart,
    `requiresCapSysAdmin`)."""

    bottlerocket: ClassVar[Tables | None] = None
    needs_mps_daemon: ClassVar[bool] = False
    shares: ClassVar[str] = "MIG devices"

    kind: Literal["mig"]
    """Each GPU is divided into MIG devices with memory of their own. The nodes' own set-up divides
    the GPUs, such as `nvidia-mig-parted` in user data; the stack's device plugin advertises the
    devices."""

    profile: str = Field(pattern=r"^[1-7]g\.[1-9][0-9]{0,2}gb(\+me)?$")
    """Profile of the devices, such as `1g.10gb`; its first number is the share of the GPU's seven
    compute slices."""

    devices: int = Field(ge=1, le=7)
    """Devices of each GPU."""

    @property
    def per_gpu(self) -> int:
        """Devices of one GPU."""
        return self.devices

    @property
    def compute_slices(self) -> int:
        """Compute slices of a GPU that one device takes."""
        return int(self.profile[0])

    @property
    def resource(self) -> str:
        """Extended resource of the devices (the plugin's `AddDefaultResourcesToConfig`)."""
        return f"nvidia.com/mig-{self.profile.replace('+', '.')}"

    @property
    def plugin_configuration(self) -> Configuration:
        """Contents of the device plugin's configuration file."""
        return {"version": "v1", "flags": {"migStrategy": "mixed"}}


GpuSharing = NotShared | TimeSlicing | Mps | Mig


def _replicated(how: str, replicas: int) -> Configuration:
    resource = {"name": GPU_RESOURCE, "replicas": replicas}
    # Two shares may be of one GPU: a pod that requests two GPUs would not get two.
    shared = {"failRequestsGreaterThanOne": True, "resources": [resource]}
    return {"version": "v1", "sharing": {how: shared}}
