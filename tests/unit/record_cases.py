"""Mutations of the checks on the gateway's record."""

from tests.unit.case import Case

TRACING = "inference[0].gateway.tracing"
COLLECTOR = {"collector": "otel.observability.svc:4317", "collectorNamespace": "observability"}
LOG = "inference[0].gateway.accessLog"

CASES = [
    # 20 replicas answer 1,000 calls/s through two gateways.
    Case("accessLogShare", f"{LOG}.okShare", 0.05, "25 lines a second about them",
         {LOG: {"okShare": 0.02}}),
    Case("accessLogShare", f"{LOG}.linesPerSecond", 10, "less than half of 10",
         {LOG: {"okShare": 0.02}}),
    Case("tracingCollector", f"{TRACING}.collectorNamespace", None,
         "no NetworkPolicy would let", {TRACING: COLLECTOR}),
    Case("tracingCollector", f"{TRACING}.collector", "otel:4317",
         "a Service otel in their own namespace, ai-namespace", {TRACING: COLLECTOR}),
]  # fmt: skip
