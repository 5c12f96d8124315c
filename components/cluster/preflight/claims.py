"""Claims that hold models, which the user creates."""

from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster.preflight.reader import ClusterReader, dig
from components.common.labels import hand_over
from config.checks.stack_paths import StackAt, stacks
from config.problem import Problem
from config.settings import Settings

_DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
_VOLUMES = "/api/v1/persistentvolumes"

_ADDONS = {
    "efs.csi.aws.com": "aws-efs-csi-driver",
    "fsx.csi.aws.com": "aws-fsx-csi-driver",
    "s3.csi.aws.com": "aws-mountpoint-s3-csi-driver",
}
"""Add-ons of EKS that install a driver, by the driver ("AWS add-ons" in the EKS user guide)."""


def claims(settings: Settings, stack: str, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse claims that Triton's pods cannot mount."""
    for at in stacks(settings):
        namespace, name = at.stack.namespace, at.stack.triton.claim
        if not name:
            continue
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        claim = reader.get(path, f"PersistentVolumeClaims in {namespace}")
        if claim is None:
            continue
        keys: dict[str, object] = {at.key("triton.modelRepository.claim"): name}
        if not claim:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys=keys,
                reason=(
                    f"there is no PersistentVolumeClaim {name} in {namespace}, and Triton's pods "
                    "would wait for it"
                ),
                fix="create it first, and if its namespace does not exist yet: kubectl create "
                f"namespace {namespace}, kubectl label namespace {namespace} {hand_over(stack)}",
            )
        else:
            yield from _usable(settings, at, claim, keys, reader)


def _usable(
    settings: Settings,
    at: StackAt,
    claim: dict[str, Any],
    keys: dict[str, object],
    reader: ClusterReader,
) -> Iterator[Problem]:
    """Compare a claim's state and access modes with the fleet that is to mount it."""
    name = claim["metadata"]["name"]
    if dig(claim, "status", "phase") == "Lost":
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=f"the PersistentVolumeClaim {name} has lost its volume: no pod can mount it",
            fix="recreate it",
        )
    yield from _unprovisioned(claim, keys, reader)
    yield from _without_driver(claim, keys, reader)
    modes: set[str] = set(dig(claim, "spec", "accessModes") or ())
    if modes & {"ReadWriteMany", "ReadOnlyMany"}:
        return
    pools = settings.gpu_nodes.pools
    most, nodes = at.stack.surge_replicas, sum(pool.nodes.max_size for pool in pools)
    one_node = "ReadWriteOnce" in modes
    if most == 1 or (one_node and (nodes == 1 or not _is_attached(claim, reader))):
        return
    holders = f"replicas are spread over {nodes} nodes" if one_node else "replicas"
    yield Problem(
        check="preflight",
        severity="refuse",
        keys={
            **keys,
            at.key("autoscaler.maxReplicas"): at.stack.autoscaler.max_replicas,
            **{pool.key("maxSize"): pool.nodes.max_size for pool in pools if one_node},
        },
        reason=(
            f"the PersistentVolumeClaim {name} ({', '.join(sorted(modes))}) can be mounted by one "
            f"{'node' if one_node else 'pod'} at a time, and up to {most} {holders}: the others "
            "would wait for it for ever"
        ),
        fix="keep the models on a volume of mode ReadOnlyMany or ReadWriteMany (on EKS EFS, FSx)",
    )


def _unprovisioned(
    claim: dict[str, Any], keys: dict[str, object], reader: ClusterReader
) -> Iterator[Problem]:
    """Refuse a claim without a volume whose StorageClass does not exist."""
    name, wanted = claim["metadata"]["name"], dig(claim, "spec", "storageClassName")
    if not wanted or dig(claim, "spec", "volumeName") or dig(claim, "status", "phase") == "Bound":
        return
    path = f"/apis/storage.k8s.io/v1/storageclasses/{wanted}"
    if reader.get(path, "StorageClasses") == {}:
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=(
                f"the PersistentVolumeClaim {name} waits for a volume of StorageClass {wanted}, "
                "which the cluster does not have"
            ),
            fix="create the class, or recreate the claim with another one",
        )


def _without_driver(
    claim: dict[str, Any], keys: dict[str, object], reader: ClusterReader
) -> Iterator[Problem]:
    """Refuse a volume of a driver that is an add-on of EKS and is not installed.

    Other drivers need no CSIDriver object.
    """
    driver = dig(_volume(claim, reader), "spec", "csi", "driver")
    addon = _ADDONS.get(driver)
    if addon and reader.get(f"{_DRIVERS}/{driver}", "CSIDrivers") == {}:
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=(
                f"the volume of the PersistentVolumeClaim {claim['metadata']['name']} needs the "
                f"driver {driver}, which the cluster does not have: Triton's pods would wait for "
                "the mount for ever"
            ),
            fix=f"install it with its role: aws eks create-addon --cluster-name <cluster> "
            f"--addon-name {addon}",
        )


def _volume(claim: dict[str, Any], reader: ClusterReader) -> dict[str, Any]:
    """Return the volume of a claim; empty if there is none or it may not be read."""
    name = claim["spec"].get("volumeName")
    return (reader.get(f"{_VOLUMES}/{name}", "PersistentVolumes") if name else None) or {}


def _is_attached(claim: dict[str, Any], reader: ClusterReader) -> bool:
    """Return True unless the volume is known to be mounted without an attachment to a node.

    Kubernetes keeps a ReadWriteOnce volume to one node only if it attaches the volume.
    """
    found = _volume(claim, reader)
    if not found:
        return True
    csi = found["spec"].get("csi")
    if not csi:
        return "nfs" not in found["spec"] and "hostPath" not in found["spec"]
    driver = reader.get(f"{_DRIVERS}/{csi['driver']}", "CSIDrivers")
    return dig(driver, "spec", "attachRequired") is not False
