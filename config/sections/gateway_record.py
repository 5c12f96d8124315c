"""The gateway's record of its calls: access log, traces and metrics per caller."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from config.base import Cidr, DnsLabel, HeaderName, Section

_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


def _model_header(value: str) -> str:
    if value.lower() in _SECRET_HEADERS:
        raise ValueError("must not name a header that carries a secret: its values are logged")
    return value


class AccessLog(Section):
    """JSON lines about calls on standard output: every call that did not end OK, others by share.

    A line has no payload, no token and no header but `modelHeader` and the request ID.
    """

    ok_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the calls that ended OK of which the gateway writes a line, chosen at random."""

    lines_per_second: int = Field(default=20, ge=1, le=200)
    """Most lines a second that one gateway writes, with a burst of as many; it counts the lines
    that it leaves out. Kubelet counts the log as the pod's disk, which it bounds at 64 MiB."""

    model_header: Annotated[HeaderName, AfterValidator(_model_header)] | None = None
    """Metadata in which callers repeat the name of the model, such as `mm-model-id`; lines then
    have its first 128 bytes. If unset, lines name no model: it is in the call's body."""


_HOST = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NUMBERS = re.compile(r"[0-9.]+")
_MOST_PORT = 65535


def _endpoint(value: str) -> str:
    host, _, port = value.rpartition(":")
    valid = len(host) <= 253 and _HOST.fullmatch(host) and re.fullmatch(r"[1-9][0-9]{0,4}", port)
    if valid and _NUMBERS.fullmatch(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            valid = None
    if not valid or int(port) > _MOST_PORT:
        raise ValueError(
            "must be a host and a port without a scheme, such as "
            "otel-collector.observability.svc:4317"
        )
    return value


class Tracing(Section):
    """Spans of calls, sent to an OpenTelemetry collector by OTLP over gRPC, in plain text.

    The gateway hands the W3C context (`traceparent`) on to the replica.
    """

    collector: Annotated[str, AfterValidator(_endpoint)]
    """Host and port of the collector, such as `otel-collector.observability.svc:4317`. Its port is
    also that of the pods, as the NetworkPolicies of the VPC CNI require."""

    collector_namespace: DnsLabel | None = None
    """Namespace of its pods; the NetworkPolicies let the gateways connect to them."""

    collector_cidrs: tuple[Cidr, ...] = ()
    """Ranges of its addresses, if it is outside the cluster or on nodes; the NetworkPolicies let
    the gateways connect to them."""

    sampling_share: float = Field(default=0.01, ge=0, le=1)
    """Share of the calls without a W3C context of which the gateway sends a span. For a call with
    one, its `sampled` flag decides: who calls may ask for a span of every call."""

    @property
    def host(self) -> str:
        """Host of the collector."""
        return self.collector.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Port of the collector."""
        return int(self.collector.rpartition(":")[2])


OTHER_CALLERS = "other"
"""Name, in metrics, of all callers that have no metrics of their own."""


def _metrics_name(value: str) -> str:
    if value == OTHER_CALLERS:
        raise ValueError(f"must not be `{OTHER_CALLERS}`, the name of all callers without metrics")
    return value


MetricsName = Annotated[str, Field(pattern=r"^[!-~]{1,128}$"), AfterValidator(_metrics_name)]
"""Name of a caller with metrics of its own."""


class CallerMetrics(Section):
    """Calls by status, and their durations, for each of the listed callers.

    All other callers share the name `other`, so that no caller can add series; those without a
    name have `anonymous`.
    """

    names: tuple[MetricsName, ...] = Field(min_length=1, max_length=100)
    """Names of callers, as their tokens or certificates state them. Each has up to 40 series in
    each gateway."""
