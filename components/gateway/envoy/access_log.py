"""The access log of the gRPC listener: JSON lines on standard output, at a bounded rate (ADR 22).

Envoy reads the rate from a file of its own: its filter takes it by xDS alone.
"""

from components.gateway.envoy.filters.callers import caller_name, has_names
from components.gateway.envoy.protojson import Json, extension, typed
from components.gateway.envoy.tls import CONFIG_FOLDER
from config.sections.gateway_record import AccessLog
from config.sections.inference import InferenceStack

RATE_FILE = "access-log-rate.yaml"
"""File, in the gateway's ConfigMap, with the rate of the access log."""

_RATE = "access-log"
"""Name of the rate, a resource of xDS."""

_LOG = "extensions.access_loggers"

_FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    # The query of a malformed path may hold a secret.
    "method": "%PATH(NQ):128%",
    "status": "%GRPC_STATUS(SNAKE_STRING)%",
    "flags": "%RESPONSE_FLAGS%",
    "reason": "%RESPONSE_CODE_DETAILS%",
    "replica": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "replica_ms": "%COMMON_DURATION(US_TX_BEG:US_RX_END:ms)%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    # The caller's own, if it states one: at most as long as a UUID.
    "request_id": "%REQ(X-REQUEST-ID):36%",
}
"""Fields of a line, in Envoy's command operators; a field without a value is null."""

_MILLION = 1_000_000


def _filter(log: AccessLog) -> Json:
    not_ok = {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}}
    share = {
        "runtime_filter": {
            "runtime_key": "access_log.ok_share",
            "percent_sampled": {
                "numerator": round(log.ok_share * _MILLION),
                "denominator": "MILLION",
            },
            # Otherwise the caller's own request ID decides.
            "use_independent_randomness": True,
        }
    }
    bounded = extension(
        "envoy.access_loggers.extension_filters.process_ratelimit",
        f"{_LOG}.filters.process_ratelimit.v3.ProcessRateLimitFilter",
        dynamic_config={
            "resource_name": _RATE,
            "config_source": {
                "path_config_source": {"path": f"{CONFIG_FOLDER}/{RATE_FILE}"},
                "resource_api_version": "V3",
            },
        },
    )
    # The rate comes last: only lines that would be written use it up.
    return {
        "and_filter": {
            "filters": [{"or_filter": {"filters": [not_ok, share]}}, {"extension_filter": bounded}]
        }
    }


def files(stack: InferenceStack) -> dict[str, Json]:
    """Build the files of the access log, each a `DiscoveryResponse`, by name."""
    log = stack.gateway.access_log
    if not log:
        return {}
    rate = typed(
        "type.v3.TokenBucket",
        max_tokens=log.lines_per_second,
        tokens_per_fill=log.lines_per_second,
        fill_interval="1s",
    )
    resource = typed("service.discovery.v3.Resource", name=_RATE, resource=rate)
    return {RATE_FILE: {"resources": [resource]}}


def loggers(stack: InferenceStack) -> list[Json]:
    """Build the access logger; none without an access log."""
    log = stack.gateway.access_log
    if not log:
        return []
    fields = dict(_FIELDS)
    if has_names(stack):
        fields["caller"] = caller_name(longest=128)
    if stack.gateway.tracing:
        fields["trace_id"] = "%TRACE_ID%"
    if log.model_header:
        fields["model"] = f"%REQ({log.model_header}):128%"
    stdout = extension(
        "envoy.access_loggers.stdout",
        f"{_LOG}.stream.v3.StdoutAccessLog",
        log_format={"json_format": fields},
    )
    return [{**stdout, "filter": _filter(log)}]
