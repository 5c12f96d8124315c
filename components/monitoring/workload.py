"""Our Prometheus: Deployment, Service, volume and permissions."""

from components.common.labels import prometheus_labels
from components.common.pods import (
    Manifest,
    container_security,
    node_selector,
    pod_security,
    pod_template,
    resources,
)
from components.state.content_names import REVISIONS, content_name
from config.inventory import DISCOVERY_RULES
from config.sections.prometheus import ManagedPrometheus
from config.selectors import prometheus_selector
from config.units import MIB_PER_GIB

UID = 65534
"""User `nobody` of the official image."""

CONFIG_FILE = "prometheus.yml"

_CONFIG_PATH = "/etc/prometheus"
_DATA_PATH = "/prometheus"
_FULL_SHARE = 0.8
"""Share of the disk that samples may take before Prometheus deletes the oldest; the write-ahead log
and compaction need the rest."""

RULES: Manifest = DISCOVERY_RULES
"""Rules of its Role in each namespace with pods that it scrapes."""


def config_name(prometheus: ManagedPrometheus, files: dict[str, str]) -> str:
    """Return the name of the ConfigMap that has these files."""
    return content_name(f"{prometheus.name}-config", files)


def deployment_spec(prometheus: ManagedPrometheus, config: str) -> Manifest:
    """Build the spec of the Deployment.

    Args:
        prometheus: Parameters of Prometheus.
        config: Name of the ConfigMap with its files.
    """
    volume = prometheus.persistent_volume
    data = (
        {"persistentVolumeClaim": {"claimName": prometheus.name}}
        if volume
        else {"emptyDir": {"sizeLimit": f"{prometheus.data_gib}Gi"}}
    )
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {
        "replicas": 1,
        "revisionHistoryLimit": REVISIONS,
        "selector": {"matchLabels": prometheus_selector(prometheus)},
        # A volume has one writer at a time.
        "strategy": {"type": "Recreate"} if volume else rolling,
        "template": pod_template(
            prometheus_labels(prometheus),
            {
                "serviceAccountName": prometheus.name,
                # The only pod of the stack that reads from the API server: it discovers targets.
                "automountServiceAccountToken": True,
                "enableServiceLinks": False,
                "securityContext": pod_security(UID),
                "nodeSelector": node_selector(prometheus.architecture),
                "containers": [_container(prometheus)],
                "volumes": [
                    {"name": "config", "configMap": {"name": config}},
                    {"name": "data", **data},
                ],
            },
            options=prometheus.pods,
        ),
    }


def _container(prometheus: ManagedPrometheus) -> Manifest:
    probe = {"port": "http"}
    size_mib = int(_FULL_SHARE * prometheus.data_gib * MIB_PER_GIB)
    return {
        "name": "prometheus",
        "image": prometheus.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            f"--config.file={_CONFIG_PATH}/{CONFIG_FILE}",
            f"--storage.tsdb.path={_DATA_PATH}",
            f"--storage.tsdb.retention.time={prometheus.retention_hours}h",
            f"--storage.tsdb.retention.size={size_mib}MB",
            f"--web.listen-address=:{prometheus.port}",
        ],
        "ports": [{"name": "http", "containerPort": prometheus.port}],
        # Replaying the log after a restart may take minutes, with the pod alive but not ready.
        "readinessProbe": {"httpGet": {"path": "/-/ready", **probe}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/-/healthy", **probe},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "resources": resources(
            cpu=prometheus.cpu,
            memory_mib=prometheus.memory_mib,
            storage_mib=prometheus.storage_mib,
        ),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_PATH, "readOnly": True},
            {"name": "data", "mountPath": _DATA_PATH},
        ],
    }


def service_spec(prometheus: ManagedPrometheus) -> Manifest:
    """Build the spec of the Service that KEDA queries."""
    return {
        "type": "ClusterIP",
        "selector": prometheus_selector(prometheus),
        "ports": [{"name": "http", "port": prometheus.port, "targetPort": "http"}],
    }


def volume_claim_spec(prometheus: ManagedPrometheus) -> Manifest:
    """Build the spec of the PersistentVolumeClaim, if the parameters ask for a volume."""
    volume = prometheus.persistent_volume
    if volume is None:
        raise ValueError("the parameters ask for no persistent volume")
    storage_class = {"storageClassName": volume.storage_class} if volume.storage_class else {}
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volume.size_gib}Gi"}},
        **storage_class,
    }
