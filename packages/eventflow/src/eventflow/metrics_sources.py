"""Metrics from other servers: calls per replica for the report, and Prometheus for the plot."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from eventflow.errors import EventFlowError
from eventflow.fetch import Series, difference, query_range, read_counters
from eventflow.plot import draw
from eventflow.run import Run

_STEPS = 200
"""Number of points of a Prometheus series on the plot."""


@dataclass
class MetricsSources:
    """The pages to read before and after a run, and the plot to draw of it.

    A failure after the run becomes a note in the report, so that the account is never lost.
    """

    counters: tuple[str, ...] = ()
    picture: Path | None = None
    prometheus: str | None = None
    in_flight_query: str = ""
    replicas_query: str = ""
    _before: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def before(self) -> None:
        """Read the counters before the run.

        Raises:
            EventFlowError: A page cannot be read, or Prometheus is given without a plot.
        """
        if self.prometheus and not self.picture:
            raise EventFlowError("--prometheus adds series to a plot: add --picture FILE")
        self._before = {url: read_counters(url) for url in self.counters}

    def after(self) -> tuple[dict[str, int] | None, str, list[str]]:
        """Return calls per replica (None without counters), their source, and notes."""
        if not self.counters:
            return None, "", []
        calls, notes = (
            Counter[str](),
            list[str](),
        )  # two gateways name the same replicas
        for url in self.counters:
            try:
                calls.update(difference(self._before[url], read_counters(url)))
            except EventFlowError as error:
                # The page of a replica that is gone must not hide the others.
                notes.append(str(error))
        return dict(calls), ", ".join(self.counters), notes

    def draw(self, title: str, run: Run) -> list[str]:
        """Draw the plot, if there is a file for it; return notes."""
        if self.picture is None:
            return []
        notes: list[str] = []
        start, end = run.started_at + run.epoch_offset, run.ended_at + run.epoch_offset
        lines: list[Series | None] = []
        for query in (self.replicas_query, self.in_flight_query):
            line = None
            if self.prometheus:
                try:
                    step = max(1.0, (end - start) / _STEPS)
                    line = query_range(self.prometheus, query, start, end + step, step)
                except EventFlowError as error:
                    notes.append(str(error))
                if line is not None and not line.at:
                    notes.append(f"{self.prometheus} has nothing for {query}")
            lines.append(line)
        replicas, gateway = lines
        try:
            draw(self.picture, title, run, replicas=replicas, gateway=gateway)
        except EventFlowError as error:
            notes.append(str(error))
        return notes
