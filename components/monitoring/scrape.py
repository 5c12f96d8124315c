"""How gateways and Triton are scraped: by our Prometheus, by annotations, by PodMonitors."""

from typing import Any

from components.common.labels import (
    ENVOY,
    NAME_LABEL,
    PART_OF,
    TRITON,
    gateway_labels,
    gateway_selector,
    triton_labels,
    triton_selector,
)
from components.gateway.envoy.admin import METRICS_PATH as GATEWAY_METRICS_PATH
from config.sections.inference import InferenceStack
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus, Prometheus

Json = dict[str, Any]

GATEWAY_OPS_PORT_NAME = "ops"
"""Name of the gateway container's port with its statistics."""

TRITON_METRICS_PORT_NAME = "metrics"
"""Name of the Triton container's port with its metrics."""

TRITON_METRICS_PATH = "/metrics"
"""Path of Triton's metrics."""

WORKLOAD_LABEL = "workload"
"""Label of every scraped series: the name of the Deployment whose pod it is of."""

RULES_FILE = "rules.yml"
"""Name of the alert rules' file, beside `prometheus.yml`."""

_POD = "__meta_kubernetes_pod_"


def scrape_annotations(prometheus: Prometheus, port: int, path: str) -> dict[str, str]:
    """Pod annotations by which a Prometheus that is configured for them finds the metrics.

    None beside PodMonitors: what came by both ways would be counted twice by the scaler's sum.
    """
    if isinstance(prometheus, ExistingPrometheus) and prometheus.pod_monitors:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": path,
    }


def prometheus_config(prometheus: ManagedPrometheus, stacks: tuple[InferenceStack, ...]) -> Json:
    """Contents of `prometheus.yml`."""
    interval = _duration(prometheus.scrape_interval_seconds)
    namespaces = sorted({stack.namespace for stack in stacks})
    gateways = [stack.gateway_name for stack in stacks]
    tritons = [stack.deployment_name for stack in stacks]
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [RULES_FILE],
        "scrape_configs": [
            _job(ENVOY, gateways, GATEWAY_OPS_PORT_NAME, GATEWAY_METRICS_PATH, namespaces),
            _job(TRITON, tritons, TRITON_METRICS_PORT_NAME, TRITON_METRICS_PATH, namespaces),
        ],
    }


def _job(
    application: str, instances: list[str], port_name: str, path: str, namespaces: list[str]
) -> Json:
    label = f"{_POD}label_app_kubernetes_io_"
    return {
        "job_name": application,
        "metrics_path": path,
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                # Only where the Role allows it: a list over all namespaces would be refused.
                "namespaces": {"names": namespaces},
                "selectors": [
                    {"role": "pod", "label": f"{NAME_LABEL}={application}"},
                ],
            }
        ],
        "relabel_configs": [
            # One target a pod, whatever its number of ports, and no strangers' pods: a series that
            # came twice would be counted twice by the scaler's sum.
            {
                "action": "keep",
                "source_labels": [
                    f"{label}part_of",
                    f"{label}instance",
                    f"{_POD}container_port_name",
                ],
                "regex": f"{PART_OF};({'|'.join(instances)});{port_name}",
            },
            {"action": "drop", "source_labels": [f"{_POD}phase"], "regex": "Succeeded|Failed"},
            # No label that Envoy sets itself, or the scraped one would be renamed.
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_POD}name"], "target_label": "pod"},
            {"source_labels": [f"{label}instance"], "target_label": WORKLOAD_LABEL},
        ],
    }


def pod_monitors(
    stack: InferenceStack, prometheus: ExistingPrometheus
) -> list[tuple[str, dict[str, str], Json]]:
    """Name, labels and spec of the Prometheus operator's PodMonitors of one stack."""
    interval = _duration(prometheus.scrape_interval_seconds)
    wanted = prometheus.pod_monitor_labels

    def spec(selector: dict[str, str], port: str, path: str) -> Json:
        return {
            "selector": {"matchLabels": selector},
            "podMetricsEndpoints": [{"port": port, "path": path, "interval": interval}],
        }

    gateway = spec(gateway_selector(stack), GATEWAY_OPS_PORT_NAME, GATEWAY_METRICS_PATH)
    triton = spec(triton_selector(stack), TRITON_METRICS_PORT_NAME, TRITON_METRICS_PATH)
    return [
        (stack.gateway_name, {**wanted, **gateway_labels(stack)}, gateway),
        (stack.deployment_name, {**wanted, **triton_labels(stack)}, triton),
    ]


def _duration(seconds: float) -> str:
    """Prometheus knows no fractions of a unit."""
    return f"{round(seconds * 1000)}ms"
