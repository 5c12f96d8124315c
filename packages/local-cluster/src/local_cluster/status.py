"""State of a cluster, as a table."""

from collections import Counter
from typing import Any

import httpx2
from lightkube.resources.core_v1 import Node
from rich.console import Console
from rich.table import Table

from local_cluster.cluster import Cluster
from local_cluster.objects import holds
from local_cluster.ports import api_address
from local_cluster.spec import GPU_RESOURCE

_UNBOUNDED = 10_000


def show(cluster: Cluster) -> None:
    """Print the cluster's components, nodes, API address, mode and kubeconfig."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # A program that reads the table needs unfolded paths.
        console.width = _UNBOUNDED
    record = cluster.record
    components = cluster.components()
    if record is None and not any(components.values()):
        console.print(
            f"there is no local cluster in {cluster.paths.state_dir}; "
            f"{cluster.up_command} makes one"
        )
        return
    up = cluster.up_command
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, process in components.items():
        table.add_row(name, f"process {process}" if process else f"does not run: {up} starts it")
    if record and cluster.is_running:
        table.add_row("nodes", _nodes(cluster))
    else:
        table.add_row("API", f"not ready: {up} repairs it")
    if record:
        table.add_row("API address", api_address(record.ports))
    table.add_row("mode", f"{cluster.mode.name}. {cluster.mode.notice}")
    table.add_row("kubeconfig", f"{cluster.kubeconfig} (context {cluster.context})")
    console.print(table)


def _nodes(cluster: Cluster) -> str:
    try:
        client: Any = cluster.client()
        nodes: list[Any] = list(client.list(Node))
    except httpx2.HTTPError as error:
        return f"not to be read: {error}"
    ready: Counter[str] = Counter()
    for node in nodes:
        if holds(node, "Ready"):
            ready[_kind(node)] += 1
    parts = [f"{ready[kind]} of {n} {kind} ready" for kind, n in Counter(map(_kind, nodes)).items()]
    return ", ".join(parts)


def _kind(node: Any) -> str:
    return "GPU nodes" if GPU_RESOURCE in (node.status.capacity or {}) else "CPU nodes"
