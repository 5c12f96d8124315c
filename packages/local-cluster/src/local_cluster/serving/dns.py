"""CoreDNS, the cluster's name server."""

from typing import Any

from local_cluster.serving import layout
from local_cluster.serving.images import COREDNS

_PORT = 1053
"""Port of CoreDNS; below 1024 it would need a capability."""

TTL_SECONDS = 5
"""TTL of its answers, the default of CoreDNS's kubernetes plugin."""

_COREFILE = f"""\
.:{_PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes {layout.CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        ttl {TTL_SECONDS}
    }}
    loop
}}
"""

_NAMESPACE = "kube-system"
_NAME = "coredns"
_LABELS = {"k8s-app": "kube-dns"}
_UID = 10053


def manifests() -> list[dict[str, Any]]:
    """Return its objects."""
    metadata = {"name": _NAME, "namespace": _NAMESPACE}
    role = {"name": "system:coredns"}
    return [
        _object("v1", "ServiceAccount", metadata),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            role,
            rules=[
                _rule("", "endpoints", "services", "pods", "namespaces"),
                _rule("discovery.k8s.io", "endpointslices"),
            ],
        ),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            role,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role},
            subjects=[{"kind": "ServiceAccount", **metadata}],
        ),
        _object("v1", "ConfigMap", metadata, data={"Corefile": _COREFILE}),
        _object(
            "v1",
            "Service",
            {"name": "kube-dns", "namespace": _NAMESPACE, "labels": _LABELS},
            spec={
                "clusterIP": layout.DNS_SERVICE,
                "selector": _LABELS,
                "ports": [
                    {
                        "name": f"dns-{kind}",
                        "port": 53,
                        "targetPort": _PORT,
                        "protocol": kind.upper(),
                    }
                    for kind in ("udp", "tcp")
                ],
            },
        ),
        _object("apps/v1", "Deployment", metadata, spec=_deployment()),
    ]


def _object(version: str, kind: str, metadata: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _rule(group: str, *resources: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}


def _deployment() -> dict[str, Any]:
    return {
        "replicas": 1,
        "selector": {"matchLabels": _LABELS},
        "template": {
            "metadata": {"labels": _LABELS},
            "spec": {
                "serviceAccountName": _NAME,
                "dnsPolicy": "Default",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _UID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": _NAME,
                        "image": COREDNS.name,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/coredns", "-conf", "/etc/coredns/Corefile"],
                        "ports": [
                            {"containerPort": _PORT, "protocol": kind} for kind in ("UDP", "TCP")
                        ],
                        "readinessProbe": {
                            "httpGet": {"path": "/ready", "port": 8181},
                            "periodSeconds": 1,
                        },
                        "resources": {
                            "requests": {"cpu": "20m", "memory": "64Mi"},
                            "limits": {"memory": "128Mi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [
                            {"name": "config", "mountPath": "/etc/coredns", "readOnly": True}
                        ],
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
            },
        },
    }
