"""StorageClasses of the stack's own volumes."""

from collections.abc import Iterable

from components.cluster.preflight.reader import ClusterReader, dig
from config.problem import Problem
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings

_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_KEY = "prometheus.persistentVolume.storageClass"


def storage(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse a volume for Prometheus that no provisioner would create."""
    prometheus = settings.prometheus
    # By kind: this stack creates no volume for a Prometheus that exists.
    if not isinstance(prometheus, ManagedPrometheus) or not prometheus.persistent_volume:
        return
    claim = f"/api/v1/namespaces/{prometheus.namespace}/persistentvolumeclaims/{prometheus.name}"
    if reader.api.ask("GET", claim):
        return
    classes = reader.items(_CLASSES, "StorageClasses")
    if classes is None:
        return
    name = prometheus.persistent_volume.storage_class
    names = sorted(found["metadata"]["name"] for found in classes)
    marked = [f for f in classes if dig(f, "metadata", "annotations", _DEFAULT) == "true"]
    if name in names or (name is None and marked):
        return
    missing = f"StorageClass {name}" if name else "default StorageClass"
    yield Problem(
        check="preflight",
        severity="refuse",
        keys={_KEY: name},
        reason=(
            f"the cluster has no {missing}, and Prometheus would wait for its volume for ever; "
            f"there are: {', '.join(names) or 'none'}"
        ),
        fix=f"set {_KEY} to one of them, or create one first",
    )
