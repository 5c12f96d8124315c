"""Output on the terminal: live progress, and the report."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eventflow.ledger import OUTCOMES
from eventflow.outcomes import Outcome
from eventflow.report import Detail, Latency, Report
from eventflow.run import Progress

COLOURS = {
    Outcome.OK: "green",
    Outcome.BREAKER: "yellow",
    Outcome.LIMITED: "yellow",
    Outcome.REFUSED: "dark_orange",
    Outcome.NO_UPSTREAM: "magenta",
    Outcome.DEADLINE: "red",
    Outcome.CONNECTION_LOST: "bright_red",
    Outcome.CANCELLED: "grey58",
    Outcome.OTHER: "cyan",
    Outcome.LOST: "white on red",
}


class LiveView:
    """A view that renders the latest progress."""

    def __init__(self, calls: int | None) -> None:
        self._calls = calls
        self._latest: Progress | None = None
        self._started_at = time.monotonic()

    def update(self, progress: Progress) -> None:
        """Store the latest progress."""
        if self._latest is None:
            self._started_at = time.monotonic()
        self._latest = progress

    def __rich__(self) -> Group | Text:
        progress = self._latest
        if progress is None:
            return Text("connecting ...")
        of = "" if self._calls is None else f" of {self._calls:,}"
        seconds = time.monotonic() - self._started_at
        ended = progress.counts.total()
        head = Text(
            f"{seconds:6.1f} s   made {progress.made:,}{of}   ended {ended:,}   "
            f"in flight {progress.in_flight:,}   connections {progress.connections}"
        )
        counts = Text("  ")
        for outcome in OUTCOMES:
            if progress.counts[outcome]:
                counts.append(f"{outcome} {progress.counts[outcome]:,}   ", COLOURS[outcome])
        return Group(head, counts)


@contextmanager
def live(console: Console, calls: int | None) -> Generator[LiveView]:
    """Show the progress of a run if the output is a terminal."""
    view = LiveView(calls)
    if not console.is_terminal:
        yield view
        return
    with Live(view, console=console, refresh_per_second=5, transient=True):
        yield view


def print_report(console: Console, report: Report) -> None:
    """Print the report of a run."""
    interrupted = " (interrupted)" if report.interrupted else ""
    console.print(
        f"{report.calls:,} calls to {report.endpoint}, {report.load}, deadline "
        f"{report.deadline_seconds:g} s, {_connections(report)}{interrupted}",
        highlight=False,
    )
    console.print(_outcome_table(report))
    issued = (
        f"issued {report.issued:,} in {report.issue_seconds:.2f} s = "
        f"{report.issue_per_second:,.0f}/s"
    )
    lines = [_detail_line(detail) for detail in report.details if detail.detail or detail.sample]
    lines += [
        f"{issued} (engine {report.engine}, {report.cpu_cores:.2f} cores)",
        f"goodput {report.goodput_per_second:,.1f}/s over {report.seconds:.2f} s",
    ]
    if report.refusal_ms:
        refusal = report.refusal_ms
        lines.append(f"time until a refusal: p50 {refusal.p50:.1f} ms, p99 {refusal.p99:.1f} ms")
    if report.echo_ms:
        echo = report.echo_ms
        lines.append(f"echo on the connection: p50 {echo.p50:.1f} ms, p99 {echo.p99:.1f} ms")
    if report.retries or report.reissued:
        lines.append(f"sent again: {report.reissued} unprocessed, {report.retries} retries")
    lines.append(
        f"connections: {report.connections_opened} opened, {report.connections_killed} killed"
    )
    lines += [
        f"  {life.why}, {life.calls_lost} calls lost" for life in report.connections if life.killed
    ]
    if report.pods_from:
        pods = ", ".join(f"{pod} {calls:,}" for pod, calls in report.calls_per_pod.items())
        lines.append(f"calls per pod ({report.pods_from}): {pods or 'none'}{_balance(report)}")
    lines += [f"note: {note}" for note in report.notes]
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _connections(report: Report) -> str:
    if report.connections_asked == 1:
        return "one connection"
    return f"{report.connections_asked} connections in {report.processes} process(es)"


def _detail_line(detail: Detail) -> str:
    sample = f': "{detail.sample[:200]}"' if detail.sample else ""
    return f"  {detail.calls:,} {detail.outcome.replace('_', ' ')}, {detail.detail}{sample}"


def _balance(report: Report) -> str:
    counts = report.calls_per_pod.values()
    if not sum(counts):
        return ""
    return f"; most loaded / mean {max(counts) * len(counts) / sum(counts):.2f}"


def _outcome_table(report: Report) -> Table:
    table = Table()
    for name in ("outcome", "calls", "share", "p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="left" if name == "outcome" else "right")
    for outcome, calls in report.outcomes.items():
        if not calls and outcome not in (Outcome.OK, Outcome.LOST):
            continue
        table.add_row(
            Text(outcome.replace("_", " "), COLOURS[outcome]),
            f"{calls:,}",
            f"{calls / max(report.calls, 1):.1%}",
            *_times(report.latency_ms.get(outcome)),
        )
    table.add_section()
    table.add_row("sum", f"{sum(report.outcomes.values()):,}")
    return table


def _times(latency: Latency | None) -> tuple[str, ...]:
    if latency is None:
        return ("", "", "", "")
    return tuple(f"{value:,.1f}" for value in (latency.p50, latency.p90, latency.p99, latency.max))
