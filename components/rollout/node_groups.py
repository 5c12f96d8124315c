"""Node groups that a run deletes or that retire, with the replicas that still run on them."""

from collections.abc import Iterator, Mapping

from components.common.kubernetes_api import KubernetesApi
from config.problem import Problem
from config.sections.node_groups import GROUP_LABEL
from config.selectors import triton_selector
from config.settings import Settings

NODES_SUFFIX = "-nodes"
"""Ending of the logical name of an EKS node group; the group's own name comes before it."""

_EKS_LABEL = "eks.amazonaws.com/nodegroup"
"""Node label with the physical name of a managed node group, which EKS sets."""

_DOCUMENT = "docs/eks.md, Replace a node group"


def node_groups(
    settings: Settings, api: KubernetesApi, held: Mapping[str, str], *, preview: bool
) -> Iterator[Problem]:
    """Find node groups that end with replicas on them, and tell the next step of those that retire.

    Args:
        settings: The parameters.
        api: Client of the cluster.
        held: Physical names of the node groups that the state holds, by logical name.
        preview: True if this run applies nothing.
    """
    stated = {group.name: (group, pool) for group, pool in settings.gpu_nodes.groups_at}
    for logical, physical in sorted(held.items()):
        name = logical.removesuffix(NODES_SUFFIX)
        if name not in stated:
            yield from _removed(settings, name, _replicas(settings, api, physical), preview)
        elif stated[name][0].retiring:
            key = stated[name][1].key("retiring")
            yield _retiring(key, name, _replicas(settings, api, physical))


def _removed(
    settings: Settings, name: str, replicas: int | None, preview: bool
) -> Iterator[Problem]:
    if replicas == 0:
        return
    on_it = "an unknown number of replicas" if replicas is None else f"{replicas} replicas"
    prod = settings.tier == "prod"
    yield Problem(
        check="outage",
        severity="refuse" if prod and not preview else "warn",
        keys={
            "gpuNodes.kind": settings.gpu_nodes.kind,
            "gpuNodes.groups": [group.name for group, _ in settings.gpu_nodes.groups_at],
        },
        reason=(
            f"OUTAGE: {'`up` would delete' if prod else '`up` deletes'} the node group {name} "
            f"with {on_it} on its nodes. EKS waits a few minutes for them, less than their "
            "successors need to start"
        ),
        fix=f"restore its entry with retiring: true, drain it, and remove it then ({_DOCUMENT})",
    )


def _retiring(key: str, name: str, replicas: int | None) -> Problem:
    if replicas == 0:
        return Problem(
            check="retiring",
            severity="warn",
            keys={key: True},
            reason=f"no replica runs on the node group {name} any more",
            fix="delete its entry from gpuNodes.groups",
        )
    counted = "replicas may still" if replicas is None else f"{replicas} replicas still"
    return Problem(
        check="retiring",
        severity="warn",
        keys={key: True},
        reason=(
            f"{counted} run on the node group {name}, which takes no new ones: they stay until "
            "they are drained"
        ),
        fix=f"{drain_command(name)} ({_DOCUMENT})",
    )


def drain_command(name: str) -> str:
    """Return the command that moves all pods of a group's nodes, within disruption budgets."""
    return (
        f"kubectl drain --selector {GROUP_LABEL}={name} --ignore-daemonsets "
        "--delete-emptydir-data --timeout 0"
    )


def _replicas(settings: Settings, api: KubernetesApi, physical: str) -> int | None:
    """Count the replicas on a group's nodes; None if the user cannot list nodes or pods."""
    nodes = api.items(f"/api/v1/nodes?labelSelector={_EKS_LABEL}={physical}")
    if nodes is None:
        return None
    names = {node["metadata"]["name"] for node in nodes}
    count = 0
    for stack in settings.inference if names else ():
        selected = ",".join(f"{key}={value}" for key, value in triton_selector(stack).items())
        pods = api.items(f"/api/v1/namespaces/{stack.namespace}/pods?labelSelector={selected}")
        if pods is None:
            return None
        count += sum(pod["spec"].get("nodeName") in names for pod in pods)
    return count
