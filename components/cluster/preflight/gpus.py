"""Existing GPU nodes, and the device plugin that advertises their GPUs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster.preflight.reader import ClusterReader, dig
from config.checks.stack_paths import stacks
from config.problem import Problem
from config.sections.gpu_nodes import GPU_LABEL, Taint
from config.sections.platform import LocalPlatform
from config.selectors import DEVICE_PLUGIN
from config.settings import Settings

_LABEL = "=".join(GPU_LABEL)
_OPERATOR_API = "nvidia.com/v1"
_TRANSIENT = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Prefixes of taints that Kubernetes itself sets for a while."""

Node = dict[str, Any]


def gpus(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Check for nodes that Triton's pods can run on, and for a second device plugin."""
    # By kind: the parameters define the nodes of the local cluster, so nothing can be missing.
    if isinstance(settings.platform, LocalPlatform):
        return
    if not any(at.stack.triton.gpus for at in stacks(settings)):
        return
    nodes = reader.items("/api/v1/nodes", "nodes (GPUs, labels and taints)")
    if nodes is not None and not settings.gpu_nodes.created:
        yield from _placeable(settings, nodes)
    daemon_sets = reader.items("/apis/apps/v1/daemonsets", "DaemonSets of all namespaces")
    if daemon_sets is not None:
        yield from _plugins(settings, nodes, daemon_sets, reader)


def _placeable(settings: Settings, nodes: list[Node]) -> Iterator[Problem]:
    labelled = [node for node in nodes if _is_labelled(node)]
    resource = settings.gpu_sharing.resource
    advertising = [node["metadata"]["name"] for node in nodes if _advertised(node, resource)]
    keys: dict[str, object] = {"gpuNodes.kind": settings.gpu_nodes.kind}
    if not labelled and advertising:
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=(
                f"{len(advertising)} nodes have GPUs ({resource}), and none has the label "
                f"{_LABEL}, by which Triton's pods select nodes: they would wait for ever"
            ),
            fix=f"kubectl label node {' '.join(advertising[:3])} {_LABEL} (and the others, and "
            "in the definition of these nodes)",
        )
    elif not labelled:
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys,
            reason=(
                f"no node has the label {_LABEL}: Triton's pods wait until there is one with GPUs"
            ),
            fix="create GPU nodes with that label (a node autoscaler may do so on demand), or "
            "set gpuNodes.kind to eksNodeGroups",
        )
    elif blocked := _blocking(settings.gpu_nodes.pool.taint, labelled):
        taint = settings.gpu_nodes.pool.taint
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"gpuNodes.taint.key": taint.key, "gpuNodes.taint.value": taint.value},
            reason=(
                f"all {len(labelled)} nodes with the label {_LABEL} have a taint that Triton's "
                f"pods do not tolerate ({', '.join(blocked)}): they would wait for ever"
            ),
            fix="state that taint under gpuNodes.taint, or remove it from the nodes",
        )


def _blocking(tolerated: Taint, nodes: list[Node]) -> list[str]:
    """Return the taints that keep pods off, if every node has one; most frequent first."""
    seen: Counter[str] = Counter()
    for node in nodes:
        untolerated = [
            f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            for taint in node["spec"].get("taints") or ()
            if taint["effect"] != "PreferNoSchedule"
            and not taint["key"].startswith(_TRANSIENT)
            and (taint["key"], taint.get("value", ""), taint["effect"])
            != (tolerated.key, tolerated.value, tolerated.effect)
        ]
        if not untolerated:
            return []
        seen.update(untolerated)
    return [taint for taint, _ in seen.most_common()]


def _plugins(
    settings: Settings,
    nodes: list[Node] | None,
    daemon_sets: list[dict[str, Any]],
    reader: ClusterReader,
) -> Iterator[Problem]:
    enabled, namespace = settings.device_plugin_enabled, settings.device_plugin.namespace
    named = {(d["metadata"]["namespace"], d["metadata"]["name"]): d for d in daemon_sets}
    ours = (namespace, DEVICE_PLUGIN)
    others = sorted(f"{name} in {at}" for (at, name), d in named.items() if (at, name) != ours
                    and _is_plugin(d))  # fmt: skip
    others += [f"of the GPU Operator's ClusterPolicy {name}" for name in _operators(reader)]
    keys: dict[str, object] = {"devicePlugin.enabled": enabled}
    resource = settings.gpu_sharing.resource
    advertising = [
        node for node in nodes or () if _is_labelled(node) and _advertised(node, resource)
    ]
    if enabled and others:
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=(
                f"the cluster has an NVIDIA device plugin ({', '.join(others)}): two on one node "
                f"allocate the same {resource} twice"
            ),
            change={"devicePlugin.enabled": False},
        )
    elif enabled and advertising and ours not in named:
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys,
            reason=(
                f"{len(advertising)} nodes already advertise their GPUs (as nodes of Bottlerocket "
                "and EKS Auto Mode do): a second device plugin would allocate them twice"
            ),
            change={"devicePlugin.enabled": False},
        )
    elif not enabled and not others and nodes and any(map(_is_labelled, nodes)) and not advertising:
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys,
            reason=(
                f"no node with the label {_LABEL} advertises {resource}, and the cluster has "
                "no device plugin: Triton's pods would wait for a GPU"
            ),
            change={"devicePlugin.enabled": True},
        )


def _operators(reader: ClusterReader) -> Iterator[str]:
    """Yield the ClusterPolicies by which the NVIDIA GPU Operator brings a device plugin.

    It may create the plugin's DaemonSet only once a GPU node has joined.
    """
    if not reader.api.serves(_OPERATOR_API, "clusterpolicies"):
        return
    for policy in reader.items(f"/apis/{_OPERATOR_API}/clusterpolicies", "ClusterPolicies") or ():
        if dig(policy, "spec", "devicePlugin", "enabled") is not False:
            yield policy["metadata"]["name"]


def _is_plugin(daemon_set: dict[str, Any]) -> bool:
    images = [c["image"] for c in daemon_set["spec"]["template"]["spec"]["containers"]]
    words = " ".join((daemon_set["metadata"]["name"], *images))
    return "nvidia" in words and "device-plugin" in words


def _is_labelled(node: Node) -> bool:
    return dig(node, "metadata", "labels", GPU_LABEL[0]) == GPU_LABEL[1]


def _advertised(node: Node, resource: str) -> int:
    return int(dig(node, "status", "allocatable", resource) or 0)
