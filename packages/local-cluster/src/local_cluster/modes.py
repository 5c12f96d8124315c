"""Modes of a local cluster; a cluster keeps the mode that it was created with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_cluster import simulated
from local_cluster.errors import LocalClusterError
from local_cluster.serving import layout as serving
from local_cluster.serving import machine
from local_cluster.spec import ClusterSpec

MODE_VARIABLE = "LOCAL"
"""Environment variable that selects the mode."""

UP_COMMAND, DOWN_COMMAND = "python -m local_cluster up", "python -m local_cluster down"
"""Commands in messages, unless the caller sets others."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """Properties in which one mode differs from another."""

    name: str
    """Value of `LOCAL`."""

    notice: str
    """Sentence that tells the user what runs in the cluster."""

    components: tuple[str, ...]
    """Processes of the control plane, by kwokctl's names."""

    component_args: Mapping[str, Mapping[str, str]]
    """Additional command-line flags of each process."""

    nodes: Callable[[ClusterSpec], list[dict[str, Any]]]
    """Function that returns the Node objects of a specification."""

    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options of kwokctl that differ from those of a cluster on loopback."""

    node_processes: tuple[str, ...] = ()
    """Processes of the one real node, if the mode has one."""

    tools: tuple[str, ...] = ("cluster",)
    """Tools and groups of tools that it needs."""

    @property
    def processes(self) -> tuple[str, ...]:
        """All processes, by the names of their programs."""
        return self.components + self.node_processes


SIMULATED = Mode(
    name="simulated",
    notice=simulated.NOTICE,
    components=simulated.COMPONENTS,
    component_args=simulated.COMPONENT_ARGS,
    nodes=lambda spec: simulated.nodes(spec.simulated_nodes),
)

SERVING = Mode(
    name="serving",
    notice=serving.NOTICE,
    components=serving.COMPONENTS,
    component_args=serving.COMPONENT_ARGS,
    nodes=lambda _: [],
    options=serving.OPTIONS,
    node_processes=serving.PROCESSES,
    tools=serving.TOOLS,
)

MODES = {mode.name: mode for mode in (SIMULATED, SERVING)}


def best_here() -> Mode:
    """Return the mode of a new cluster whose user selects none: serving if this machine can."""
    return SIMULATED if machine.missing_prerequisites() else SERVING


def choose(
    asked: str | None,
    made_as: str | None,
    default: Mode = SIMULATED,
    down_command: str = DOWN_COMMAND,
) -> Mode:
    """Return the mode to start a cluster in.

    Args:
        asked: Mode that the user selects, if any.
        made_as: Mode of the existing cluster, if any.
        default: Mode of a new cluster whose user selects none.
        down_command: Command that removes the cluster, for the message.

    Raises:
        LocalClusterError: There is no such mode.
    """
    name = asked or made_as or default.name
    if name in MODES:
        return MODES[name]
    fix = f"Unset it, or set {' or '.join(f'{MODE_VARIABLE}={mode}' for mode in MODES)}."
    if asked is None:
        raise LocalClusterError(
            f"the local cluster was created as {name}, which this version does not know. "
            f"Remove it with `{down_command}`, or set {MODE_VARIABLE}={SIMULATED.name} to recreate "
            "it."
        )
    raise LocalClusterError(f"{MODE_VARIABLE}={asked} is not a kind of local cluster. {fix}")
