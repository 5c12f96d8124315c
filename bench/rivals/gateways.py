"""Calls of several connections over several of the stack's gateways."""

import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
from rich.table import Table

from bench.report import BenchReport, console
from bench.rivals import bed
from bench.rivals.bed import HOST, Bed, Fleet
from bench.rivals.designs import process, stack_of
from bench.rivals.own import envoy_command
from components.gateway.envoy.listener import STAT_PREFIX

_FLEET = Fleet(slots=4)
"""Replicas for which the client, the gateways and they themselves need no whole core."""

_WINDOW_OVER_WORK = 4
"""Calls in flight over those that the fleet works on."""

_SECONDS = 5
_LEAST_SHARE = 0.9
_MOST_OVER_MEAN = 1.25
_FIRST_PORT, _PORTS_EACH = 8080, 3


@dataclass(frozen=True)
class Spread:
    """Numbers of gateways and of connections, and how these choose their gateways."""

    gateways: int
    connections: int
    even: bool
    """True if the connections take the gateways in turn, as a balancer does that counts them; False
    if chance decides, as with a Service."""

    def __str__(self) -> str:
        """Say the numbers."""
        way = "in turn" if self.even else "by chance"
        return f"{self.connections} connections over {self.gateways} gateways, {way}"

    def targets(self, ports: Sequence[int]) -> str:
        """Return the target of each connection."""
        chosen = (
            ports[number % len(ports)] if self.even else random.choice(ports)  # noqa: S311
            for number in range(self.connections)
        )
        return ",".join(f"{HOST}:{port}" for port in chosen)


SPREADS = tuple(
    Spread(gateways, connections, even)
    for gateways in (2, 4)
    for connections in (8, 64)
    for even in (True, False)
)


def run(report: BenchReport, repeats: int, spreads: Sequence[Spread] = SPREADS) -> None:
    """Measure each spread; the goals are for connections that take the gateways in turn.

    Args:
        report: Report that gets a table and the goals.
        repeats: Runs of each.
        spreads: Spreads to measure.
    """
    table = Table("connections", "share of the possible", "most loaded / mean", title="gateways")
    for spread in spreads:
        runs = [measure(spread) for _ in range(repeats)]
        shares, most = zip(*runs, strict=True)
        table.add_row(str(spread), *(_cell(values) for values in (shares, most)))
        console.print(f"  {spread}: {_cell(shares)} of the possible, {_cell(most)}")
        if spread.even:
            report.at_least(f"{spread}: share", sorted(shares)[repeats // 2], _LEAST_SHARE, "")
            words = f"{spread}: most loaded gateway over the mean"
            report.at_most(words, sorted(most)[repeats // 2], _MOST_OVER_MEAN, "x")
    report.tables.append(table)


def _cell(values: Sequence[float]) -> str:
    middle = sorted(values)[len(values) // 2]
    return f"{middle:.2f} ({min(values):.2f} to {max(values):.2f})"


def measure(spread: Spread) -> tuple[float, float]:
    """Return the share of the possible calls that is answered, and the most loaded over the mean.

    Args:
        spread: The gateways and connections.
    """
    most = spread.gateways * _PORTS_EACH
    ports = range(_FIRST_PORT, _FIRST_PORT + most, _PORTS_EACH)
    stacks = {
        port: stack_of(
            _FLEET,
            connections=spread.connections,
            replicas=spread.gateways,
            port=port,
            opsPort=port + 1,
            adminPort=port + 2,
        )
        for port in ports
    }
    first = next(iter(stacks.values()))
    with ExitStack() as open_, bed.running(_FLEET, first) as replicas:
        for port, stack in stacks.items():
            folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            open_.enter_context(process(envoy_command(stack, folder), port, folder))
        _await_replicas(ports)
        before = [_calls(port) for port in ports]
        share = _answered(spread, replicas, ports)
        counts = [_calls(port) - old for port, old in zip(ports, before, strict=True)]
    return share, max(counts) * len(counts) / sum(counts)


def _answered(spread: Spread, replicas: Bed, ports: Sequence[int]) -> float:
    fleet = replicas.fleet
    window = _WINDOW_OVER_WORK * fleet.replicas * fleet.slots
    found = bed.account(
        bed.call(
            spread.targets(ports),
            connections=spread.connections,
            window=window,
            duration=f"{_SECONDS}s",
        )
    )
    return found["outcomes"]["ok"] / (fleet.capacity * _SECONDS)


def _await_replicas(ports: Sequence[int]) -> None:
    """Wait until each gateway knows that all replicas are healthy."""
    deadline = time.monotonic() + bed.PATIENCE_SECONDS
    while any(_stat(port, "membership_healthy") < _FLEET.replicas for port in ports):
        if time.monotonic() > deadline:
            raise TimeoutError("the gateways do not find the replicas")
        time.sleep(bed.LOOK_SECONDS)


def _calls(port: int) -> int:
    return _stat(port, f"http.{STAT_PREFIX}.downstream_rq_completed")


def _stat(port: int, name: str) -> int:
    """Return the statistic of a gateway whose name ends so."""
    text = httpx2.get(f"http://127.0.0.1:{port + 2}/stats", params={"filter": f"{name}$"}).text
    return sum(int(line.rpartition(": ")[2]) for line in text.splitlines())
