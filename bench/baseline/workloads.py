"""Plain Kubernetes objects that the baseline's two documents need in order to run.

The baseline has no manifests for Triton's pods, the gateway's pods and Prometheus. These are the
stack's specs and images, so that both designs run on the same parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bench.baseline.documents import (
    PROXY,
    SCALER,
    Document,
    Variant,
    differences,
    read,
    stated_autoscaler,
)
from components.common.labels import (
    gateway_labels,
    namespace_labels,
    prometheus_labels,
    triton_labels,
)
from components.common.pods import Manifest, resources
from components.common.scraping import GATEWAY_OPS_PORT_NAME
from components.gateway.envoy.admin import READY_PATH
from components.monitoring import workload as prometheus
from components.monitoring.scrape import prometheus_config
from components.triton import model_repository
from components.triton import workload as triton
from config.model_files import read_model_files
from config.sections.gateway import STORAGE_MIB
from config.sections.inference import InferenceStack
from config.sections.keda import ExistingKeda
from config.sections.prometheus import ManagedPrometheus
from config.sections.triton import ConfigMapRepository
from config.selectors import gateway_selector
from config.settings import Settings
from ops.errors import OpsError

NAMESPACE = "kubemind-seed"
"""Namespace of the test bed, which is removed with it."""

_UNBOUNDED = 100_000
"""Queue of the sample model: more calls than a client of the baseline ever has in flight. The
baseline has no bound, as is Triton's default."""

_CONFIG_FOLDER = "/etc/envoy"
_GRACE_SECONDS = 2.0
"""Grace period; the baseline has no drain, and its pods are removed after the last call."""


@dataclass(frozen=True)
class Parts:
    """Parameters of the test bed, in the form of a stack's."""

    settings: Settings
    """Settings with one inference stack and one Prometheus, both in the test bed's namespace."""

    @property
    def stack(self) -> InferenceStack:
        """Inference stack with the baseline's names and ports."""
        return self.settings.inference[0]

    @property
    def prometheus(self) -> ManagedPrometheus:
        """The Prometheus that scrapes the test bed, and nothing else."""
        # By kind: for the type checker; `of` refuses the other.
        assert isinstance(self.settings.prometheus, ManagedPrometheus)  # noqa: S101 - see `of`
        return self.settings.prometheus

    @classmethod
    def of(cls, settings: Settings) -> "Parts":
        """Return the test bed's parameters, from those of a stack.

        Args:
            settings: The stack's, for images, the sample model and the pods' resources.

        Raises:
            OpsError: The stack has no Prometheus or no sample model of its own.
        """
        first, watch = settings.inference[0], settings.prometheus
        # By kind here and below: the baseline is made of the parts that a stack runs itself.
        if not isinstance(watch, ManagedPrometheus):
            raise OpsError("the baseline needs a stack with a managed Prometheus")
        if not isinstance(first.triton.model_repository, ConfigMapRepository):
            raise OpsError("the baseline needs a stack with models from a ConfigMap")
        model_server = first.triton.model_copy(
            update={
                "queue_size": _UNBOUNDED,
                "pre_stop_seconds": _GRACE_SECONDS,
                "termination_grace_seconds": 2 * _GRACE_SECONDS,
            }
        )
        stack = first.model_copy(
            update={
                "namespace": NAMESPACE,
                "name_prefix": "",
                "triton": model_server,
                "autoscaler": stated_autoscaler(),
            }
        )
        return cls(
            settings.model_copy(
                update={
                    "inference": (stack,),
                    "prometheus": watch.model_copy(update={"namespace": NAMESPACE}),
                }
            )
        )

    def manifests(self, variant: Variant) -> list[Manifest]:
        """Return the objects of a variant, the namespace first and the ScaledObject last."""
        changed = differences(variant, self.stack, self.prometheus)
        return [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": namespace_labels(variant.name)},
            },
            *_triton(self.settings, headless=variant.repaired),
            *_gateway(self.stack, read(PROXY, changed)),
            *_prometheus(self.prometheus, self.stack),
            read(SCALER, changed),
        ]


def _object(
    version: str, kind: str, name: str, labels: Mapping[str, str], **fields: Any
) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def _triton(settings: Settings, *, headless: bool) -> list[Manifest]:
    stack = settings.inference[0]
    repository = stack.triton.model_repository
    # By kind: for the type checker; `Parts.of` refuses the others.
    assert isinstance(repository, ConfigMapRepository)  # noqa: S101 - see `Parts.of`
    labels, name = triton_labels(stack), stack.deployment_name
    least = stack.autoscaler.min_replicas
    files = read_model_files(stack, repository.folder)
    models = model_repository.config_map_name(name, files)
    text, binary = model_repository.config_map_data(files)
    pods = triton.deployment_spec(
        stack,
        settings.gpu_nodes.pool,
        model_repository.config_map(models, files),
        settings.prometheus,
    )
    service = triton.service_spec(stack)
    if not headless:
        # An ordinary Service, with one virtual address.
        del service["clusterIP"]
    return [
        _object("v1", "ServiceAccount", name, labels),
        _object("v1", "ConfigMap", models, labels, data=text, binaryData=binary),
        _object("v1", "Service", stack.service_name, labels, spec=service),
        # Start at the autoscaler's minimum, which it would reach in a minute.
        _object("apps/v1", "Deployment", name, labels, spec={**pods, "replicas": least}),
    ]


def _gateway(stack: InferenceStack, configuration: Document) -> list[Manifest]:
    labels, name, gateway = gateway_labels(stack), stack.gateway_name, stack.gateway
    text = yaml.safe_dump(configuration, sort_keys=False)
    container = {
        "name": "envoy",
        "image": gateway.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["envoy", "--config-path", f"{_CONFIG_FOLDER}/{PROXY}"],
        "ports": [
            {"name": "grpc", "containerPort": gateway.port},
            {"name": GATEWAY_OPS_PORT_NAME, "containerPort": gateway.ops_port},
        ],
        "readinessProbe": {
            "httpGet": {"path": READY_PATH, "port": GATEWAY_OPS_PORT_NAME},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
        },
        "resources": resources(
            cpu=gateway.cpu, memory_mib=gateway.memory_mib, storage_mib=STORAGE_MIB
        ),
        "volumeMounts": [{"name": "config", "mountPath": _CONFIG_FOLDER, "readOnly": True}],
    }
    pod = {
        "terminationGracePeriodSeconds": round(_GRACE_SECONDS),
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    deployment = {
        "replicas": 1,
        "selector": {"matchLabels": gateway_selector(stack)},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    service = {
        "selector": gateway_selector(stack),
        "ports": [{"name": "grpc", "port": gateway.port, "targetPort": "grpc"}],
    }
    return [
        _object("v1", "ConfigMap", name, labels, data={PROXY: text}),
        _object("v1", "Service", name, labels, spec=service),
        _object("apps/v1", "Deployment", name, labels, spec=deployment),
    ]


def _prometheus(watch: ManagedPrometheus, stack: InferenceStack) -> list[Manifest]:
    labels, name = prometheus_labels(watch), watch.name
    configuration = prometheus_config(watch, (stack,), ExistingKeda())
    del configuration["rule_files"]
    text = yaml.safe_dump(configuration, sort_keys=False)
    group = "rbac.authorization.k8s.io"
    return [
        _object("v1", "ServiceAccount", name, labels),
        _object("v1", "ConfigMap", name, labels, data={prometheus.CONFIG_FILE: text}),
        _object(f"{group}/v1", "Role", name, labels, rules=prometheus.RULES),
        _object(
            f"{group}/v1",
            "RoleBinding",
            name,
            labels,
            roleRef={"apiGroup": group, "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
        ),
        _object("v1", "Service", name, labels, spec=prometheus.service_spec(watch)),
        _object(
            "apps/v1",
            "Deployment",
            name,
            labels,
            spec=prometheus.deployment_spec(watch, name),
        ),
    ]
