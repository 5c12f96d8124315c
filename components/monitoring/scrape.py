"""Scraping of gateways and Triton: by our Prometheus, or by PodMonitors."""

from typing import Any

from components.common.labels import PART_OF, gateway_labels, triton_labels
from components.common.scraping import (
    GATEWAY_OPS_PORT_NAME,
    TRITON_METRICS_PATH,
    TRITON_METRICS_PORT_NAME,
)
from components.gateway.envoy.admin import METRICS_PATH as GATEWAY_METRICS_PATH
from config.sections.inference import InferenceStack
from config.sections.keda import Keda
from config.sections.prometheus import (
    NAMESPACE_LABEL,
    Alertmanager,
    ExistingPrometheus,
    ManagedPrometheus,
)
from config.selectors import ENVOY, NAME_LABEL, TRITON, gateway_selector, triton_selector

WORKLOAD_LABEL = "workload"
"""Label of every scraped series: the name of the pod's Deployment."""

RULES_FILE = "rules.yml"
"""Name of the file with the alert rules, beside `prometheus.yml`."""

KEDA_OPERATOR = "keda-operator"
"""Name of the operator in the labels of the chart."""

_POD = "__meta_kubernetes_pod_"


def prometheus_config(
    prometheus: ManagedPrometheus, stacks: tuple[InferenceStack, ...], keda: Keda
) -> dict[str, Any]:
    """Build the contents of `prometheus.yml`."""
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
        **({"alerting": _alerting(prometheus.alertmanager)} if prometheus.alertmanager else {}),
        "scrape_configs": [
            _job(ENVOY, gateways, GATEWAY_OPS_PORT_NAME, GATEWAY_METRICS_PATH, namespaces),
            _job(TRITON, tritons, TRITON_METRICS_PORT_NAME, TRITON_METRICS_PATH, namespaces),
            *([_keda_job(keda)] if keda.metrics_port else []),
        ],
    }


def _alerting(alertmanager: Alertmanager) -> dict[str, Any]:
    """Build the section by which Prometheus sends each alert to every address."""
    return {
        "alertmanagers": [
            {
                "scheme": url.scheme,
                **({"path_prefix": url.path} if url.path.strip("/") else {}),
                "static_configs": [{"targets": [url.netloc]}],
            }
            for url in alertmanager.urls
        ]
    }


def _job(
    application: str, instances: list[str], port_name: str, path: str, namespaces: list[str]
) -> dict[str, Any]:
    label = f"{_POD}label_app_kubernetes_io_"
    return {
        "job_name": application,
        "metrics_path": path,
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                # The Role covers these namespaces only: the API server refuses a list of all.
                "namespaces": {"names": namespaces},
                "selectors": [
                    {"role": "pod", "label": f"{NAME_LABEL}={application}"},
                ],
            }
        ],
        "relabel_configs": [
            # One target per pod, for any number of ports, and no other pods: the scaler's sum would
            # count a series that comes twice twice.
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
            # No label that Envoy itself sets: Prometheus would rename the scraped one.
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": NAMESPACE_LABEL},
            {"source_labels": [f"{_POD}name"], "target_label": "pod"},
            {"source_labels": [f"{label}instance"], "target_label": WORKLOAD_LABEL},
        ],
    }


def _keda_job(keda: Keda) -> dict[str, Any]:
    """Build the job of KEDA's operator, whose series have the scaler's namespace already."""
    return {
        "job_name": "keda",
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [keda.namespace]},
                "selectors": [{"role": "pod", "label": f"{NAME_LABEL}={KEDA_OPERATOR}"}],
            }
        ],
        "relabel_configs": [
            # By number: another container port of the pod must not be scraped, too.
            {
                "action": "keep",
                "source_labels": [f"{_POD}container_port_number"],
                "regex": str(keda.metrics_port),
            },
            {"source_labels": [f"{_POD}name"], "target_label": "pod"},
        ],
    }


def pod_monitors(
    stack: InferenceStack, prometheus: ExistingPrometheus
) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """Build name, labels and spec of each PodMonitor of one stack, for Prometheus' operator."""
    interval = _duration(prometheus.scrape_interval_seconds)
    wanted = prometheus.pod_monitor_labels

    def spec(selector: dict[str, str], port: str, path: str) -> dict[str, Any]:
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
    """Return a Prometheus duration, which has no fractions of a unit."""
    return f"{round(seconds * 1000)}ms"
