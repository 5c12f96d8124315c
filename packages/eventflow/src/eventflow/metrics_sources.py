"""What a run can add from elsewhere: calls per replica, and Prometheus's view, for the picture."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from eventflow.errors import EventFlowError
from eventflow.fetch import Series, difference, query_range, read_counters
from eventflow.plot import draw
from eventflow.run import Run

_STEPS = 200
"""Points of a Prometheus series on the picture."""


@dataclass
class MetricsSources:
    """Pages to read before and after a run, and the picture to draw of it.

    What fails after the run becomes a note: its account is worth more than its ornaments.
    """

    counters: tuple[str, ...] = ()
    picture: Path | None = None
    prometheus: str | None = None
    in_flight_query: str = ""
    replicas_query: str = ""
    _before: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def before(self) -> None:
        """Look at the counters.

        Raises:
            EventFlowError: A page cannot be read, or Prometheus is given for no picture.
        """
        if self.prometheus and not self.picture:
            raise EventFlowError("--prometheus adds to the picture: give --picture FILE, too")
        self._before = {url: read_counters(url) for url in self.counters}

    def after(self) -> tuple[dict[str, int] | None, str, list[str]]:
        """Return calls per replica (None if not asked for), where from, and notes."""
        if not self.counters:
            return None, "", []
        calls, notes = Counter[str](), list[str]()  # two gateways' pages name the same replicas
        for url in self.counters:
            try:
                calls.update(difference(self._before[url], read_counters(url)))
            except EventFlowError as error:
                # A replica that went takes its page along, and no other's.
                notes.append(str(error))
        return dict(calls), ", ".join(self.counters), notes

    def draw(self, title: str, run: Run) -> list[str]:
        """Draw the picture, if asked for; returns notes."""
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
