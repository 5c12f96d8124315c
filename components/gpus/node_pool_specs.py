"""Specs of Karpenter's NodePool and EC2NodeClass for one pool of GPU nodes."""

from collections.abc import Mapping

from components.common.pods import Manifest
from config.sections.karpenter import (
    CAPACITY_LABEL,
    DISCOVERY_TAG,
    NODE_CLASS_API,
    ZONE_LABEL,
    DisruptionBudget,
    Karpenter,
    KarpenterPool,
)
from config.sizing.instances import ARCHITECTURE_LABEL, INSTANCE_TYPE_LABEL, OS_LABEL

NODE_CLASS_KIND = "EC2NodeClass"

_SYSTEM_DISK = "4Gi"
"""First disk of Bottlerocket, which holds the system alone (Karpenter's default for the family,
`pkg/providers/amifamily/bottlerocket.go`)."""


def node_class_spec(
    nodes: Karpenter, pool: KarpenterPool, discovery: object, tags: Mapping[str, object]
) -> Manifest:
    """Return the spec of an EC2NodeClass.

    Args:
        nodes: Parameters that all pools share.
        pool: The pool.
        discovery: Value of the tag by which subnets and security groups are selected; text, or an
            output of Pulumi's.
        tags: All tags.
    """
    tagged = [{"tags": {DISCOVERY_TAG: discovery}}]
    spec: Manifest = {
        "role": nodes.role,
        **_ami(pool),
        "subnetSelectorTerms": [{"id": one} for one in pool.subnet_ids] or tagged,
        "securityGroupSelectorTerms": [{"id": one} for one in nodes.security_group_ids] or tagged,
        "blockDeviceMappings": _disks(pool),
        # Pods are one hop further away than the node, and so cannot take the node's identity.
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "tags": tags,
    }
    if pool.capacity_reservation_id:
        spec["capacityReservationSelectorTerms"] = [{"id": pool.capacity_reservation_id}]
    if pool.instance_store_policy:
        spec["instanceStorePolicy"] = pool.instance_store_policy
    return spec


def _ami(pool: KarpenterPool) -> Manifest:
    if pool.ami_ids:
        terms = [{"id": one} for one in pool.ami_ids]
        return {"amiFamily": pool.ami_family, "amiSelectorTerms": terms}
    return {"amiSelectorTerms": [{"alias": pool.ami_alias}]}


def _disks(pool: KarpenterPool) -> list[Manifest]:
    data: Manifest = {
        "volumeSize": f"{pool.disk_gib}Gi",
        "throughput": pool.disk_throughput_mibps,
        "iops": pool.disk_iops,
    }
    # Bottlerocket keeps images on its second disk.
    disks: dict[str, Manifest] = {"/dev/xvda": data}
    if pool.ami_family == "Bottlerocket":
        disks = {"/dev/xvda": {"volumeSize": _SYSTEM_DISK}, "/dev/xvdb": data}
    every: Manifest = {"volumeType": "gp3", "encrypted": True, "deleteOnTermination": True}
    if pool.kms_key_arn:
        every["kmsKeyID"] = pool.kms_key_arn
    return [{"deviceName": name, "ebs": {**disk, **every}} for name, disk in disks.items()]


def node_pool_spec(pool: KarpenterPool, loading_seconds: int) -> Manifest:
    """Return the spec of a NodePool.

    Args:
        pool: The pool.
        loading_seconds: Longest time that a replica needs to load.
    """
    quiet = pool.consolidate_after_seconds
    expires, grace = pool.expire_after_hours, pool.termination_grace_seconds
    template: Manifest = {
        "nodeClassRef": {
            "group": NODE_CLASS_API.partition("/")[0],
            "kind": NODE_CLASS_KIND,
            "name": pool.name,
        },
        "taints": [
            {
                "key": taint.key,
                # The API refuses an empty value.
                **({"value": taint.value} if taint.value else {}),
                "effect": taint.effect,
            }
            for taint in pool.taints
        ],
        "requirements": [
            {"key": key, "operator": "In", "values": values}
            for key, values in _requirements(pool).items()
        ],
        "expireAfter": f"{expires}h" if expires else "Never",
    }
    if grace:
        template["terminationGracePeriod"] = f"{grace}s"
    spec: Manifest = {
        "template": {"metadata": {"labels": pool.node_labels}, "spec": template},
        "limits": pool.limits,
        "disruption": {
            "consolidationPolicy": pool.consolidation_policy,
            "consolidateAfter": f"{loading_seconds if quiet is None else quiet}s",
            "budgets": [_budget(one) for one in pool.disruption_budgets],
        },
    }
    if pool.weight:
        spec["weight"] = pool.weight
    return spec


def _requirements(pool: KarpenterPool) -> dict[str, list[str]]:
    return {
        INSTANCE_TYPE_LABEL: [*pool.instance_types],
        CAPACITY_LABEL: [pool.purchase],
        ARCHITECTURE_LABEL: [pool.architecture],
        OS_LABEL: ["linux"],
        **({ZONE_LABEL: [*pool.zones]} if pool.zones else {}),
    }


def _budget(stated: DisruptionBudget) -> Manifest:
    budget: Manifest = {"nodes": str(stated.nodes)}
    if stated.reasons:
        budget["reasons"] = [*stated.reasons]
    if stated.schedule:
        budget |= {"schedule": stated.schedule, "duration": f"{stated.duration_minutes}m"}
    return budget
