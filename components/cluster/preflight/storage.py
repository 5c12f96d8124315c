"""StorageClasses and claims of the stack's own volumes."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster.preflight.quantities import amount
from components.cluster.preflight.reader import ClusterReader, dig
from config.problem import Problem
from config.sections.prometheus import ManagedPrometheus, PersistentVolume
from config.settings import Settings

_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_EBS_DRIVER = "ebs.csi.aws.com"
_EBS = (_EBS_DRIVER, "kubernetes.io/aws-ebs")
"""Provisioners of the EBS CSI driver; Kubernetes hands those of the second name to it."""

_VOLUME = "prometheus.persistentVolume"
_KEY = f"{_VOLUME}.storageClass"


def storage(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse a volume for Prometheus that no provisioner would create, or change."""
    prometheus = settings.prometheus
    # By kind: this stack creates no volume for a Prometheus that exists.
    if not isinstance(prometheus, ManagedPrometheus) or not prometheus.persistent_volume:
        return
    path = f"/api/v1/namespaces/{prometheus.namespace}/persistentvolumeclaims/{prometheus.name}"
    if claim := reader.api.ask("GET", path):
        yield from _changed(prometheus, prometheus.persistent_volume, claim, reader)
        return
    classes = reader.items(_CLASSES, "StorageClasses")
    if classes is None:
        return
    name = prometheus.persistent_volume.storage_class
    names = sorted(found["metadata"]["name"] for found in classes)
    marked = [f for f in classes if dig(f, "metadata", "annotations", _DEFAULT) == "true"]
    chosen = [f for f in classes if f["metadata"]["name"] == name] if name else marked
    if chosen:
        yield from _without_driver(chosen[0], name, reader)
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


def _changed(
    prometheus: ManagedPrometheus,
    volume: PersistentVolume,
    claim: dict[str, Any],
    reader: ClusterReader,
) -> Iterator[Problem]:
    """Refuse changes of the claim that the API server would refuse.

    The class of a claim is immutable, a claim does not shrink (pkg/apis/core/validation,
    `ValidatePersistentVolumeClaimUpdate`), and it grows only if its class allows it
    (plugin/pkg/admission/storage/persistentvolume/resize).
    """
    has = dig(claim, "spec", "storageClassName")
    gib = amount(dig(claim, "spec", "resources", "requests", "storage")) / 2**30
    start_again = (
        "or give up its samples: kubectl --namespace "
        f"{prometheus.namespace} delete deployment,persistentvolumeclaim {prometheus.name}, and "
        "run `up`"
    )
    if has and volume.storage_class not in (None, has):
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={_KEY: volume.storage_class},
            reason=(
                f"Prometheus's volume is of StorageClass {has}, and Kubernetes moves no volume to "
                "another class"
            ),
            fix=f"set {_KEY} to {has}, {start_again}",
        )
    size = {f"{_VOLUME}.sizeGib": volume.size_gib}
    if volume.size_gib < gib:
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=size,
            reason=f"Prometheus's volume has {gib:g} GiB, and Kubernetes shrinks no volume",
            fix=f"set {_VOLUME}.sizeGib to {math.ceil(gib)}, {start_again}",
        )
    if volume.size_gib > gib and has:
        found = reader.get(f"{_CLASSES}/{has}", "StorageClasses")
        if found is not None and not found.get("allowVolumeExpansion"):
            yield Problem(
                check="preflight",
                severity="refuse",
                keys=size,
                reason=(
                    f"Prometheus's volume has {gib:g} GiB, and its StorageClass {has} does not "
                    "allow volumes to grow"
                ),
                fix="kubectl patch storageclass "
                f"{has} --patch '{{\"allowVolumeExpansion\": true}}', {start_again}",
            )


def _without_driver(
    chosen: dict[str, Any], name: str | None, reader: ClusterReader
) -> Iterator[Problem]:
    """Refuse a class of EBS on a cluster without the driver, which is an add-on of EKS."""
    if chosen.get("provisioner") not in _EBS:
        return
    driver = reader.get(f"/apis/storage.k8s.io/v1/csidrivers/{_EBS_DRIVER}", "CSIDrivers")
    if driver is None or driver:
        return
    yield Problem(
        check="preflight",
        severity="refuse",
        keys={_KEY: name},
        reason=(
            f"the StorageClass {chosen['metadata']['name']} needs the EBS CSI driver, which the "
            f"cluster does not have (CSIDriver {_EBS_DRIVER}): Prometheus would wait for its "
            "volume for ever"
        ),
        fix="install it with its role: aws eks create-addon --cluster-name <cluster> --addon-name "
        "aws-ebs-csi-driver --pod-identity-associations "
        "serviceAccount=ebs-csi-controller-sa,roleArn=<role>",
    )
