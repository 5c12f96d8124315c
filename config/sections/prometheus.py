"""Prometheus: managed by the stack, or already installed."""

from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field

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
    SeriesLabel,
    SeriesValue,
)
from config.dns import ClusterDomain, service_dns_name
from config.sections.pods import PodOptions
from config.sections.prometheus_access import NoAccess, PrometheusAccess
from config.sizing.instances import Architecture
from config.units import MIB_PER_GIB
from config.versions import PROMETHEUS_IMAGE

NAMESPACE_LABEL = "namespace"
"""Label with the namespace of the scraped pod, as the Prometheus operator sets it."""

_DATA_GIB = 4
"""Space for the samples without a volume: about 4,000 series every 5 s are 0.1 GiB a day."""

_LOGS_MIB = 256


class PersistentVolume(Section):
    """A volume for the time series; without it they are lost with the pod."""

    size_gib: DiskGib
    """Size, GiB."""

    storage_class: str | None = None
    """StorageClass; the cluster's default where unset."""


def _alertmanager_address(value: str) -> str:
    url = urlsplit(value)
    # `port` raises ValueError if it is out of range.
    valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
    if not valid or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("must be an http or https URL without user, password, `?` and `#`")
    return value


class Alertmanager(Section):
    """An Alertmanager in the cluster, which the platform team runs."""

    addresses: tuple[Annotated[str, AfterValidator(_alertmanager_address)], ...] = Field(
        min_length=1
    )
    """URLs to which Prometheus sends every alert, one for each replica of the Alertmanager, such as
    `http://alertmanager-main-0.alertmanager-operated.monitoring.svc:9093`. Their ports are also
    those of the pods, as the NetworkPolicies of the VPC CNI require."""

    namespace: DnsLabel
    """Namespace of its pods; the NetworkPolicies let Prometheus connect to them."""

    @property
    def urls(self) -> list[SplitResult]:
        """Parts of the addresses."""
        return [urlsplit(address) for address in self.addresses]

    @property
    def ports(self) -> list[int]:
        """Ports of the Services and their pods."""
        return sorted({url.port or {"http": 80, "https": 443}[url.scheme] for url in self.urls})


class ManagedPrometheus(Section):
    """The stack's own Prometheus, which scrapes only the gateways and Triton."""

    kind: Literal["managed"] = "managed"
    """Prometheus that this stack creates."""

    namespace: DnsLabel = "observability"
    """Namespace of Prometheus."""

    name: DnsLabel = "prometheus-server"
    """Name of its Service and Deployment."""

    cluster_domain: ClusterDomain | None = None
    """DNS domain of the cluster; if unset, that of the platform, or `cluster.local`."""

    port: Port = 9090
    """Port of the Service."""

    image: Image = PROMETHEUS_IMAGE
    """Image of Prometheus."""

    architecture: Architecture | None = None
    """Architecture that the image is built for; Prometheus runs only on nodes that have it. If
    unset, on all nodes: the official image supports every architecture."""

    scrape_interval_seconds: float = Field(default=5.0, ge=1, le=3600)
    """Interval of the scrapes of gateways and Triton; at most 15 s, or short bursts are missed."""

    retention_hours: int = Field(default=24, ge=1, le=10 * 365 * 24)
    """Retention of the samples, hours; the scaler needs minutes."""

    persistent_volume: PersistentVolume | None = None
    """Volume for the time series; optional."""

    alertmanager: Alertmanager | None = None
    """Alertmanager that receives the alerts; if unset, firing alerts are only the series `ALERTS`
    in this Prometheus."""

    pods: PodOptions = PodOptions()
    """Placement, priority and metadata of the pod."""

    cpu: Cores = 0.5
    """CPU request, cores."""

    memory_mib: MemoryMib = 1024
    """Memory request and limit, MiB."""

    @property
    def address(self) -> str:
        """URL that KEDA queries."""
        name = service_dns_name(self.name, self.namespace, self.cluster_domain)
        return f"http://{name}:{self.port}"

    @property
    def namespace_label(self) -> str:
        """Label of every series with the namespace of its pod."""
        return NAMESPACE_LABEL

    @property
    def matchers(self) -> dict[str, str]:
        """Further labels of the scaler's series: none, because it scrapes nothing else."""
        return {}

    @property
    def authentication(self) -> PrometheusAccess:
        """None: the NetworkPolicies limit the clients."""
        return NoAccess()

    @property
    def pod_monitors(self) -> bool:
        """False: its configuration finds the pods by their scrape annotations."""
        return False

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Metadata of KEDA's trigger beside the address: none."""
        return {}

    @property
    def data_gib(self) -> int:
        """Space for the samples, GiB."""
        return self.persistent_volume.size_gib if self.persistent_volume else _DATA_GIB

    @property
    def storage_mib(self) -> int:
        """Request of the node's disk, MiB; it includes the samples if there is no volume."""
        return _LOGS_MIB + (0 if self.persistent_volume else self.data_gib * MIB_PER_GIB)


class ExistingPrometheus(Section):
    """A Prometheus that the platform team runs."""

    kind: Literal["existing"]
    """An installed Prometheus."""

    address: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")
    """URL that KEDA queries. The scaler's query finds its calls by `namePrefix`, namespace and
    `matchers`: no two inference stacks with series there may have all three in common."""

    namespace_label: SeriesLabel = NAMESPACE_LABEL
    """Label of the series with the namespace of the scraped pod, which the scaler's query and the
    alerts match; older scrape configurations call it `kubernetes_namespace`."""

    matchers: dict[SeriesLabel, SeriesValue] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further labels that the scaler's query matches. They tell clusters apart where the address
    has the series of several (`cluster: prod-eu`), and the two of a pair without deduplication. A
    Prometheus that answers for itself does not have its external labels on its series."""

    authentication: PrometheusAccess = Field(default=NoAccess(), discriminator="kind")
    """Authentication of KEDA to Prometheus."""

    headers: dict[HeaderName, HeaderText] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further headers of KEDA's requests, in plain text, such as `X-Scope-OrgID` (the tenant)."""

    namespace: DnsLabel
    """Namespace from which it scrapes; the NetworkPolicies allow its connections."""

    pod_monitors: bool = False
    """PodMonitors for the Prometheus operator in place of scrape annotations on the pods. Never
    both: a Prometheus that follows both would count every call twice."""

    pod_monitor_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": False}
    )
    """Further labels of the PodMonitors, by which the operator selects them: kube-prometheus-stack
    requires `release` with the name of its Helm release."""

    alert_rules: bool | None = None
    """PrometheusRules for the Prometheus operator, with the alerts of each inference stack; if
    unset, as `podMonitors`. Grafana Alloy loads them into the rulers of Mimir and Grafana Cloud
    (`mimir.rules.kubernetes`)."""

    alert_rule_labels: dict[LabelKey, LabelValue] | None = Field(
        default=None, json_schema_extra={"additionalProperties": False}
    )
    """Further labels of the PrometheusRules, by which the operator selects them; if unset,
    `podMonitorLabels`."""

    scrape_interval_seconds: float = Field(default=15.0, ge=1, le=3600)
    """Scrape interval, as configured in Prometheus or set in the PodMonitors."""

    @property
    def has_alert_rules(self) -> bool:
        """True if the stack creates PrometheusRules."""
        return self.pod_monitors if self.alert_rules is None else self.alert_rules

    @property
    def rule_labels(self) -> dict[str, str]:
        """Labels by which the operator selects the PrometheusRules."""
        stated = self.alert_rule_labels
        return self.pod_monitor_labels if stated is None else stated

    @property
    def trigger_metadata(self) -> dict[str, str]:
        """Metadata of KEDA's trigger beside the address."""
        headers = ",".join(f"{name}={text}" for name, text in self.headers.items())
        return self.authentication.trigger_metadata | (
            {"customHeaders": headers} if headers else {}
        )


Prometheus = ManagedPrometheus | ExistingPrometheus
