"""Impact of a preview on GPUs and on calls in flight; pure functions on its steps."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from config.sections.gpu_nodes import GPU_RESOURCE
from ops.pr.steps import Step

_TRITON = "kubemind:index:Triton"
_GATEWAY = "kubemind:index:EnvoyGateway"
_DEVICE_PLUGIN = "kubemind:index:DevicePlugin"
_DEPLOYMENT = "kubernetes:apps/v1:Deployment"
_SERVICE = "kubernetes:core/v1:Service"
_NAMESPACE = "kubernetes:core/v1:Namespace"
_PROVIDER = "pulumi:providers:kubernetes"
_NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
_NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
_NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
_NODE_ROLL = ("version", "releaseVersion", "launchTemplate")
"""Properties of a node group whose change makes EKS replace its nodes, a few at a time."""


_NODES = re.compile(
    r"ends \d+ of \d+ running nodes of node group|OUTAGE: .* node group (?P<group>[\w-]+)"
)
"""Parts of the program's warnings on running nodes (`components.gpus.node_count`) and on the
replicas of a node group that goes (`components.rollout.node_groups`)."""


def impact(steps: Iterable[Step], warnings: Iterable[str] = ()) -> list[str]:
    """Return the effects on GPUs, models and connections, the gravest first.

    Args:
        steps: The preview's steps.
        warnings: The program's warnings; the program has read the running nodes, while the state
            of the steps may be older.
    """
    steps = list(steps)
    effects = [(0, f"{_line(text)}.") for text in warnings if _NODES.search(_line(text))]
    for step in steps:
        effects += _of_step(step)
    before, after = max_gpus(steps)
    if before != after:
        effects.append((3, f"GPUs that the scaler may ask for: {before} → {after}."))
    return [text for _, text in sorted(effects, key=lambda item: item[0])]


def _line(warning: str) -> str:
    """Return the reason of a warning on one line."""
    reason = warning.partition("\n    now: ")[0]
    return " ".join(reason.removeprefix("outage: ").split())


def outages(steps: Iterable[Step], warnings: Iterable[str] = ()) -> list[str]:
    """Return what answers calls and ends: objects as `namespace/name`, and node groups.

    Args:
        steps: The preview's steps.
        warnings: The program's warnings, which name node groups that end with nodes or replicas.
    """
    ended = [step for step in steps if step.operation in {"replace", "delete"}]
    names = {
        object_name(step.old)
        for step in ended
        if step.type in {_DEPLOYMENT, _SERVICE} and (step.within(_TRITON) or step.within(_GATEWAY))
    }
    matches = (_NODES.search(_line(text)) for text in warnings)
    groups = {f"node group {found['group']}" for found in matches if found and found["group"]}
    return sorted(names | groups)


def _of_step(step: Step) -> list[tuple[int, str]]:
    name = f"`{object_name(step.new or step.old)}`"
    gone = step.operation in {"replace", "delete"}
    back = "" if step.operation == "delete" else " before a new one starts; no call is answered"
    if step.type == _NODE_GROUP:
        return _of_node_group(step)
    if step.type in (_NODE_POOL, _NODE_CLASS):
        return _of_node_pool(step)
    if step.type == _NAMESPACE and gone:
        of = f"`{step.old['metadata']['name']}`"
        return [(0, f"OUTAGE. Namespace {of} goes with all that it holds.")]
    if step.type == _PROVIDER and gone:
        return [(0, "OUTAGE. The stack moves to another cluster, where `up` creates all of it.")]
    if step.type == _SERVICE and gone and step.within(_TRITON):
        return [(0, f"OUTAGE. Service {name}: no gateway finds Triton's replicas{back}.")]
    if step.type == _SERVICE and gone and step.within(_GATEWAY):
        return [(0, f"OUTAGE. Service {name}: the gateway's address is gone{back}.")]
    template = any(change.path.startswith("spec.template") for change in step.changes)
    if step.type == _DEPLOYMENT and step.within(_TRITON):
        if gone:
            return [(0, f"OUTAGE. Triton fleet {name}: every replica stops{back}.")]
        if template:
            return [(1, f"Triton fleet {name}: every replica is replaced and loads its models.")]
    if step.type == _DEPLOYMENT and step.within(_GATEWAY):
        if gone:
            return [(0, f"OUTAGE. Gateway {name}: every pod stops{back}.")]
        if template:
            return [(2, f"Gateway {name}: its pods are rolled; their connections are drained.")]
    if step.within(_DEVICE_PLUGIN) and (gone or template):
        return [(2, f"Device plugin {name}: no new GPU pod starts on a node until it is back.")]
    return []


def _of_node_group(step: Step) -> list[tuple[int, str]]:
    name = f"`{step.name}`"
    if step.operation == "delete":
        return [(0, f"GPU node group {name}: every GPU node goes away.")]
    if step.operation == "replace":
        return [
            (
                0,
                f"GPU node group {name} is replaced: once a new group runs, every node of the old "
                "one ends. Replicas move and load their models again.",
            )
        ]
    effects: list[tuple[int, str]] = []
    if any(change.path.partition(".")[0] in _NODE_ROLL for change in step.changes):
        effects.append((1, f"GPU node group {name}: nodes are exchanged; their pods drain first."))
    for bound, key in (("at most", "maxSize"), ("at least", "minSize")):
        effects += [
            (3, f"GPU node group {name}: {bound} {change.old} → {change.new} nodes.")
            for change in step.changes
            if change.path == f"scalingConfig.{key}"
        ]
    return effects


def _of_node_pool(step: Step) -> list[tuple[int, str]]:
    name = f"`{(step.new or step.old)['metadata']['name']}`"
    if step.operation in {"replace", "delete"}:
        ends = f"NodePool {name}: Karpenter drains and ends all of its nodes at once."
        return [(0, ends)] if step.type == _NODE_POOL else []
    spec = [change.path for change in step.changes if change.path.startswith("spec.")]
    # By these a NodePool guides Karpenter; all else is a part of its nodes.
    guides = ("spec.limits", "spec.disruption", "spec.weight")
    if step.operation == "update" and any(not path.startswith(guides) for path in spec):
        effect = "nodes that no longer match are exchanged; their pods drain first."
        return [(1, f"NodePool {name}: {effect}")]
    return []


def max_gpus(steps: Iterable[Step]) -> tuple[int, int]:
    """Return the GPUs that all fleets may use, as the plugin advertises them: before and after."""
    steps = list(steps)
    return _max_gpus([step.old for step in steps]), _max_gpus([step.new for step in steps])


def _max_gpus(objects: Iterable[Mapping[str, Any]]) -> int:
    objects = list(objects)
    gpus = {object_name(item): _gpus(item) for item in objects if item.get("kind") == "Deployment"}
    total = 0
    for item in objects:
        if item.get("kind") != "ScaledObject":
            continue
        namespace: str = item["metadata"].get("namespace", "default")
        target = f"{namespace}/{item['spec']['scaleTargetRef']['name']}"
        total += int(item["spec"].get("maxReplicaCount", 0)) * gpus.get(target, 0)
    return total


def _gpus(deployment: Mapping[str, Any]) -> int:
    containers: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    limits = [item.get("resources", {}).get("limits", {}) for item in containers]
    # MIG devices have resources of their own.
    gpus = (GPU_RESOURCE, f"{GPU_RESOURCE.partition('/')[0]}/mig-")
    return sum(int(n) for limit in limits for name, n in limit.items() if name.startswith(gpus))


def object_name(inputs: Mapping[str, Any]) -> str:
    """Return `namespace/name` of a Kubernetes object's inputs."""
    metadata: Mapping[str, Any] = inputs.get("metadata", {})
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '?')}"
