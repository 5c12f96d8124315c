"""Prometheus: managed by the stack, or already installed."""

from typing import Literal

from pydantic import Field

from config.base import (
    Cores,
    DiskGib,
    DnsLabel,
    HeaderName,
    HeaderText,
    Image,
    LabelKey,
    LabelValue,
    MemoryMib,
    Port,
    Section,
)
from config.dns import service_dns_name
from config.sections.prometheus_access import NoAccess, PrometheusAccess
from config.sizing.instances import Architecture
from config.units import MIB_PER_GIB
from config.versions import PROMETHEUS_IMAGE

_DATA_GIB = 4
"""Room for the samples without a volume: about 4,000 series every 5 s are 0.1 GiB a day."""

_LOGS_MIB = 256


class PersistentVolume(Section):
    """A volume for the time series; without it they live as long as the pod."""

    size_gib: DiskGib
    """Size, GiB."""

    storage_class: str | None = None
    """StorageClass; the cluster's default where unset."""


class ManagedPrometheus(Section):
    """Our own Prometheus, which scrapes the gateways and Triton and nothing else."""

    kind: Literal["managed"] = "managed"
    """Prometheus that this stack creates."""

    namespace: DnsLabel = "observability"
    """Its namespace."""

    name: DnsLabel = "prometheus-server"
    """Its Service and Deployment."""

    port: Port = 9090
    """Port of the Service."""

    image: Image = PROMETHEUS_IMAGE
    """Image."""

    architecture: Architecture | None = None
    """Architecture that the image is built for; nodes of any other are left out. Unset, the image
    is for all of them, as the official one is."""

    scrape_interval_seconds: float = Field(default=5.0, ge=1, le=3600)
    """Interval of the scrapes of gateways and Triton; at most 15 s, or bursts go unseen."""

    retention_hours: int = Field(default=24, ge=1, le=10 * 365 * 24)
    """Time for which samples are kept; the scaler needs minutes."""

    persistent_volume: PersistentVolume | None = None
    """Optional volume."""

    cpu: Cores = 0.5
    """CPU request, cores."""

    memory_mib: MemoryMib = 1024
    """Memory request and limit, MiB."""

    @property
    def address(self) -> str:
        """URL that KEDA asks."""
        return f"http://{service_dns_name(self.name, self.namespace)}:{self.port}"

    @property
    def authentication(self) -> PrometheusAccess:
        """None: the NetworkPolicies say who may ask."""
        return NoAccess()

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """What KEDA's trigger says of the way to it, beside the address: nothing."""
        return {}

    @property
    def data_gib(self) -> int:
        """Room for the samples, GiB."""
        return self.persistent_volume.size_gib if self.persistent_volume else _DATA_GIB

    @property
    def storage_mib(self) -> int:
        """Disk of the node that it asks for, MiB: the samples count where they have no volume."""
        return _LOGS_MIB + (0 if self.persistent_volume else self.data_gib * MIB_PER_GIB)


class ExistingPrometheus(Section):
    """A Prometheus that the platform team runs."""

    kind: Literal["existing"]
    """An installed Prometheus."""

    address: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")
    """URL that KEDA asks. Every inference stack that it watches, of this program or another, needs
    a `namePrefix` of its own, or each scaler counts the calls of all that share one."""

    authentication: PrometheusAccess = Field(default=NoAccess(), discriminator="kind")
    """KEDA's authentication to it."""

    headers: dict[HeaderName, HeaderText] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further headers of KEDA's requests, in plain text: `X-Scope-OrgID` with the tenant."""

    namespace: DnsLabel
    """Namespace from which it scrapes; the NetworkPolicies let it in."""

    pod_monitors: bool = False
    """Whether to make the operator's PodMonitors; without them pods carry scrape annotations, and
    never both: a Prometheus that follows both would count every call twice."""

    pod_monitor_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further labels of the PodMonitors, by which its operator selects them: kube-prometheus-stack
    wants `release` with its Helm release's name."""

    scrape_interval_seconds: float = Field(default=15.0, ge=1, le=3600)
    """Its scrape interval, as configured (or as the PodMonitors ask)."""

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """What KEDA's trigger says of the way to it, beside the address."""
        headers = ",".join(f"{name}={text}" for name, text in self.headers.items())
        return self.authentication.trigger_metadata | (
            {"customHeaders": headers} if headers else {}
        )


Prometheus = ManagedPrometheus | ExistingPrometheus
