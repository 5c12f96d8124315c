"""Spans of calls by OTLP, and the W3C context that replicas get."""

from components.gateway.envoy.filters.callers import caller_name, has_names
from components.gateway.envoy.protojson import Json, extension, typed
from config.sections.gateway_record import Tracing
from config.sections.inference import InferenceStack

COLLECTOR_CLUSTER = "otlp_collector"
"""Name of the cluster of the collector."""

_EXPORT_SECONDS = 5
"""Time for one export; spans of an export that fails are lost."""

_SPANS_PER_EXPORT = 100
"""Spans that Envoy collects for one export, for 5 s at most. By default it sends five at a time."""

_MILLION = 1_000_000


def _sampler(tracing: Tracing) -> Json:
    """Build the sampler: the context's flag decides, or chance if there is no context."""
    samplers = "extensions.tracers.opentelemetry.samplers.v3"
    share = extension(
        "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
        f"{samplers}.TraceIdRatioBasedSamplerConfig",
        sampling_percentage={
            "numerator": round(tracing.sampling_share * _MILLION),
            "denominator": "MILLION",
        },
    )
    return extension(
        "envoy.tracers.opentelemetry.samplers.parent_based",
        f"{samplers}.ParentBasedSamplerConfig",
        wrapped_sampler=share,
    )


def _provider(stack: InferenceStack, tracing: Tracing) -> Json:
    static = extension(
        "envoy.tracers.opentelemetry.resource_detectors.static_config",
        "extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
        attributes={"k8s.namespace.name": stack.namespace},
    )
    return {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": typed(
            "config.trace.v3.OpenTelemetryConfig",
            grpc_service={
                "envoy_grpc": {"cluster_name": COLLECTOR_CLUSTER},
                "timeout": f"{_EXPORT_SECONDS}s",
            },
            service_name=stack.gateway_name,
            resource_detectors=[static],
            sampler=_sampler(tracing),
        ),
    }


def manager_fields(stack: InferenceStack) -> Json:
    """Build the fields of the connection manager; none without tracing."""
    tracing = stack.gateway.tracing
    if not tracing:
        return {}
    caller = {"tag": "caller", "value": caller_name()}
    callers = {"custom_tags": [caller]} if has_names(stack) else {}
    return {
        # Otherwise Envoy sends no span of a call whose `x-request-id` the caller states, and which
        # is no UUID, and changes a digit of the others.
        "request_id_extension": {
            "typed_config": typed(
                "extensions.request_id.uuid.v3.UuidRequestIdConfig",
                pack_trace_reason=False,
                use_request_id_for_trace_sampling=False,
            )
        },
        "tracing": {
            # The query of a malformed path may hold a secret.
            "operation": "%PATH(NQ):128%",
            "max_path_tag_length": 128,
            **callers,
            "provider": _provider(stack, tracing),
        },
    }


def runtime(stack: InferenceStack) -> Json:
    """Build the runtime settings; none without tracing."""
    if not stack.gateway.tracing:
        return {}
    return {"tracing.opentelemetry.min_flush_spans": _SPANS_PER_EXPORT}
