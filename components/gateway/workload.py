"""The gateway's pods and Service as pure functions of an inference stack."""

import yaml

from components.common.labels import BALANCER_AWAITED, SKIP_AWAIT, gateway_labels
from components.common.pods import (
    Manifest,
    container_security,
    node_selector,
    pod_security,
    pod_template,
    resources,
    spread,
)
from components.common.scraping import GATEWAY_OPS_PORT_NAME, scrape_annotations
from components.gateway.balancer import (
    CHECK_TIMEOUT_SECONDS,
    balancer_annotations,
    failed_checks,
)
from components.gateway.envoy import access_log, jwks, tls
from components.gateway.envoy.admin import METRICS_PATH, READY_PATH
from components.gateway.envoy.bootstrap import arguments, bootstrap
from components.gateway.envoy.clusters.registry import mounts
from components.gateway.envoy.drain import drain_script
from components.gateway.envoy.protojson import Json
from components.state.content_names import REVISIONS, content_name
from config.sections.gateway import SEPARATE_NODES, STORAGE_MIB, InternalLoadBalancer
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus
from config.selectors import gateway_selector

BOOTSTRAP_FILE = "envoy.yaml"
DRAIN_FILE = "drain.sh"

_UID = 10101
"""A user without permissions; above 10000, so that no user of the node has the number."""
_GRPC_PORT_NAME = "grpc"


_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The dumper of libyaml, where PyYAML has it: for twenty gateways the time shows."""


def config_files(stack: InferenceStack) -> dict[str, str]:
    """Build the files of the gateway's ConfigMap, by name."""
    files = {BOOTSTRAP_FILE: _yaml(bootstrap(stack)), DRAIN_FILE: drain_script(stack)}
    secrets = {**tls.sds(stack), **jwks.sds(stack)}
    rates = {name: _yaml(file) for name, file in access_log.files(stack).items()}
    return {
        **files,
        **{tls.sds_file(name): _yaml(file) for name, file in secrets.items()},
        **rates,
    }


def _yaml(message: Json) -> str:
    return yaml.dump(message, Dumper=_Dumper, sort_keys=False)


def config_name(stack: InferenceStack, files: dict[str, str]) -> str:
    """Return the name of the ConfigMap that has these files."""
    return content_name(f"{stack.gateway_name}-config", files)


def deployment_spec(
    stack: InferenceStack,
    files: dict[str, str],
    prometheus: Prometheus,
    *,
    separate_nodes: bool = False,
) -> Manifest:
    """Build the `spec` of the gateway's Deployment.

    Args:
        stack: The inference stack.
        files: Files of the mounted ConfigMap, which is named by their contents.
        prometheus: The Prometheus that scrapes the pods.
        separate_nodes: True if the first two gateways never share a node.
    """
    return {
        "replicas": stack.gateway.replicas,
        "revisionHistoryLimit": REVISIONS,
        "selector": {"matchLabels": gateway_selector(stack)},
        # A gateway that ends before its successor is ready takes the calls on its connections
        # with it.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": pod_template(
            gateway_labels(stack),
            _pod(stack, files, separate_nodes),
            annotations=scrape_annotations(prometheus, stack.gateway.ops_port, METRICS_PATH),
            options=stack.gateway.pods,
        ),
    }


def _pod(stack: InferenceStack, files: dict[str, str], separate_nodes: bool) -> Manifest:
    gateway = stack.gateway
    extra = [*mounts(stack), *tls.mounts(stack)]
    ready: Manifest = {
        "httpGet": {"path": READY_PATH, "port": GATEWAY_OPS_PORT_NAME},
        # The one worker answers probes: in a burst it may need longer than kubelet's one second.
        "timeoutSeconds": CHECK_TIMEOUT_SECONDS,
    }
    # By kind: a balancer takes minutes to register a target again; a Service takes none.
    balanced = isinstance(gateway.exposure, InternalLoadBalancer)
    unready_after = failed_checks(stack) if balanced else 2
    pod: Manifest = {
        "serviceAccountName": stack.gateway_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(_UID),
        "terminationGracePeriodSeconds": stack.gateway_grace_seconds,
        "nodeSelector": node_selector(gateway.architecture),
        "topologySpreadConstraints": spread(
            gateway_selector(stack), least_nodes=SEPARATE_NODES if separate_nodes else 0
        ),
        "containers": [
            {
                "name": "envoy",
                "image": gateway.image,
                # Not the image's entry point, which changes the user: this pod may not.
                "command": ["envoy", *arguments(f"{tls.CONFIG_FOLDER}/{BOOTSTRAP_FILE}")],
                "ports": [
                    {"name": _GRPC_PORT_NAME, "containerPort": gateway.port},
                    {"name": GATEWAY_OPS_PORT_NAME, "containerPort": gateway.ops_port},
                ],
                "securityContext": container_security(),
                "resources": resources(
                    cpu=gateway.cpu, memory_mib=gateway.memory_mib, storage_mib=STORAGE_MIB
                ),
                "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 60},
                "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": unready_after},
                # It would fail while the gateway drains, but kubelet no longer probes by then.
                "livenessProbe": {**ready, "periodSeconds": 10, "failureThreshold": 6},
                "lifecycle": {
                    "preStop": {"exec": {"command": ["bash", f"{tls.CONFIG_FOLDER}/{DRAIN_FILE}"]}}
                },
                # One mount per file: such a mount keeps its contents from the container's start.
                # The next rollout's drain script need not fit the Envoy that runs here.
                "volumeMounts": [
                    *(
                        {
                            "name": "config",
                            "mountPath": f"{tls.CONFIG_FOLDER}/{file}",
                            "subPath": file,
                            "readOnly": True,
                        }
                        for file in files
                    ),
                    *(
                        {"name": mount.name, "mountPath": mount.path, "readOnly": True}
                        for mount in extra
                    ),
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": config_name(stack, files)}},
            *({"name": mount.name, **mount.source} for mount in extra),
        ],
    }
    return pod


def service_spec(stack: InferenceStack) -> Manifest:
    """Build the `spec` of the gateway's Service."""
    exposure = stack.gateway.exposure
    spec: Manifest = {
        "type": "ClusterIP",
        "selector": gateway_selector(stack),
        "ports": [
            {
                "name": _GRPC_PORT_NAME,
                "port": stack.gateway.port,
                "targetPort": _GRPC_PORT_NAME,
                # Kubernetes' own name of HTTP/2 in plain text; else IANA's of HTTP over TLS.
                "appProtocol": "https" if stack.gateway.tls.is_on else "kubernetes.io/h2c",
            }
        ],
    }
    # By kind: sections know no fields of a Service.
    if isinstance(exposure, InternalLoadBalancer):
        spec |= {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "loadBalancerSourceRanges": list(exposure.source_cidrs),
            "allocateLoadBalancerNodePorts": False,
        }
    return spec


def service_annotations(stack: InferenceStack) -> dict[str, str]:
    """Build the annotations of the gateway's Service."""
    exposure = stack.gateway.exposure
    # By kind: sections know no annotations of a Service.
    if isinstance(exposure, InternalLoadBalancer):
        return {**balancer_annotations(stack, exposure), **BALANCER_AWAITED}
    # Pulumi would wait 10 s more for endpoints; the Deployment's readiness is enough.
    return {**SKIP_AWAIT}


def disruption_budget_spec(stack: InferenceStack) -> Manifest:
    """Build the `spec` of the PodDisruptionBudget, which lets nodes drain one gateway at a time."""
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": gateway_selector(stack)},
        # Otherwise a gateway that never becomes ready keeps its node from draining.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
