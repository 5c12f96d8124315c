"""A collector of OpenTelemetry in miniature: it keeps the spans that it gets by OTLP over gRPC."""

from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.envoy.harness.waiting import wait_until

_SCOPES = ResourceSpans.DESCRIPTOR.fields_by_number[2].name
"""`scope_spans`; xds-protos may put an older copy of the file in place, with another name."""

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector(grpc.GenericRpcHandler):
    """A server on a free port of loopback."""

    def __init__(self) -> None:
        self.resources: list[dict[str, str]] = []
        self.spans: list[Span] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(1))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method != _EXPORT:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )

    def _export(self, request: ExportTraceServiceRequest, context: Any) -> Any:
        del context
        for group in request.resource_spans:
            self.resources.append(attributes(group.resource))
            for scope in getattr(group, _SCOPES):
                self.spans.extend(scope.spans)
        return ExportTraceServiceResponse()

    def of(self, trace_id: str, count: int = 1) -> list[Span]:
        """Spans of a trace, once there are as many."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.trace_id.hex() == trace_id]

        wait_until(f"{count} spans of {trace_id}", lambda: len(found()) >= count)
        return found()

    def __enter__(self) -> "Collector":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


def attributes(holder: Any) -> dict[str, str]:
    """Attributes of a span or a resource."""
    return {each.key: each.value.string_value for each in holder.attributes}
