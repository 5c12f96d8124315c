"""The metrics of gateway and Triton pods: their ports, and the annotations that announce them."""

from config.sections.prometheus import Prometheus

GATEWAY_OPS_PORT_NAME = "ops"
"""Name of the gateway container's port with its statistics."""

TRITON_METRICS_PORT_NAME = "metrics"
"""Name of the Triton container's port with its metrics."""

TRITON_METRICS_PATH = "/metrics"
"""Path of Triton's metrics."""


def scrape_annotations(prometheus: Prometheus, port: int, path: str) -> dict[str, str]:
    """Build the pod annotations by which a Prometheus with the usual configuration finds metrics.

    There are none beside PodMonitors: the scaler's sum would count series that come both ways
    twice.
    """
    if prometheus.pod_monitors:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": path,
    }
