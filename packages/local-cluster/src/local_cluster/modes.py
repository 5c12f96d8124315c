"""What kinds of local cluster there are; the kind is fixed when a cluster is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_cluster import simulated
from local_cluster.errors import LocalClusterError
from local_cluster.serving import layout as serving
from local_cluster.serving import machine
from local_cluster.spec import ClusterSpec

MODE_VARIABLE = "LOCAL"
"""Environment variable that chooses the mode."""

UP_COMMAND, DOWN_COMMAND = "python -m local_cluster up", "python -m local_cluster down"
"""Commands that messages name where the caller names none."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How one kind of local cluster differs from the others."""

    name: str
    """Value of `LOCAL`."""

    notice: str
    """What the user must know about what runs in it, in one sentence."""

    components: tuple[str, ...]
    """The control plane's processes, by kwokctl's names."""

    component_args: Mapping[str, Mapping[str, str]]
    """Further command-line flags of each process."""

    nodes: Callable[[ClusterSpec], list[dict[str, Any]]]
    """Returns the Node objects that a specification asks for."""

    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """kwokctl's options, where they differ from those of a cluster on loopback."""

    node_processes: tuple[str, ...] = ()
    """Processes of the one real node, where there is one."""

    tools: tuple[str, ...] = ("cluster",)
    """What it needs of the table of tools."""

    @property
    def processes(self) -> tuple[str, ...]:
        """All that runs, by the names of the programs."""
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
    """The mode that is taken where the user asks for none: one that serves, where it can."""
    return SIMULATED if machine.missing_prerequisites() else SERVING


def choose(
    asked: str | None,
    made_as: str | None,
    default: Mode = SIMULATED,
    down_command: str = DOWN_COMMAND,
) -> Mode:
    """The mode to start a cluster in.

    Args:
        asked: what the user asks for, if anything.
        made_as: what the cluster was made as, if there is one.
        default: what it is where neither says anything.
        down_command: Command that removes the cluster, for the message.

    Raises:
        LocalClusterError: what is asked for is not to be had.
    """
    name = asked or made_as or default.name
    if name in MODES:
        return MODES[name]
    fix = f"Unset it, or set {' or '.join(f'{MODE_VARIABLE}={mode}' for mode in MODES)}."
    if asked is None:
        raise LocalClusterError(
            f"the local cluster was made as {name}, which this version does not know. "
            f"Remove it with `{down_command}`, or set {MODE_VARIABLE}={SIMULATED.name} to make it "
            "anew."
        )
    raise LocalClusterError(f"{MODE_VARIABLE}={asked} is not a kind of local cluster. {fix}")
