"""The report of a run: counts, rates and latencies, computed from its ledger."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from eventflow.ledger import OUTCOMES
from eventflow.outcomes import REFUSALS, Outcome
from eventflow.run import Burst, Run
from eventflow.timeline import timeline

_LONG_RUN_SECONDS = 10.0
"""Length of a run from which on the timeline has one step per second instead of ten."""


@dataclass(frozen=True)
class Latency:
    """Distribution of times, milliseconds."""

    count: int
    min: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self | None:
        """Compute the distribution by nearest rank; None without times."""
        times = sorted(seconds)
        if not times:
            return None

        def rank(share: float) -> float:
            return times[math.ceil(share * len(times)) - 1] * 1000

        return cls(
            count=len(times),
            min=times[0] * 1000,
            p50=rank(0.5),
            p90=rank(0.9),
            p99=rank(0.99),
            p999=rank(0.999),
            max=times[-1] * 1000,
        )


@dataclass(frozen=True)
class Detail:
    """Calls with the same outcome and detail."""

    outcome: Outcome
    detail: str
    calls: int
    sample: str
    """The first message of the server."""


@dataclass(frozen=True)
class ConnectionLife:
    """Lifetime of one connection; times in seconds from the start of the run."""

    opened_seconds: float
    ended_seconds: float | None
    why: str
    killed: bool
    calls_lost: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """The account of a run; `--json` writes its fields."""

    endpoint: str
    started_at: str
    """UTC, ISO 8601."""
    engine: str
    load: str
    deadline_seconds: float
    processes: int
    connections_asked: int
    """Number of connections at a time; a new one replaces each that ends."""
    interrupted: bool
    calls: int
    outcomes: dict[Outcome, int]
    """Calls by outcome, with a 0 for outcomes that did not occur; the sum is `calls`."""
    details: list[Detail]
    issued: int
    """Calls whose END_STREAM the kernel took; for grpcio, calls handed to gRPC."""
    issue_seconds: float
    """Time from the first call made to the last one issued."""
    issue_per_second: float
    wait_before_sending_ms: Latency | None
    """Time from when a call was made or due until it was issued."""
    seconds: float
    """Time from the start until the last call ended."""
    goodput_per_second: float
    """Calls with outcome OK per second of the whole run."""
    latency_ms: dict[Outcome, Latency]
    """Time from when a call was made or due until it ended, by outcome."""
    first_end_seconds: dict[Outcome, float]
    """Time from the start until the first call of each outcome ended."""
    refusal_ms: Latency | None
    """Latency of all refusals: breaker, refused, no healthy upstream."""
    echo_ms: Latency | None
    """Round-trip time of HTTP/2 PINGs on the same connection, if requested."""
    retries: int
    """Retries by the client's retry policy; the account holds the last attempt of each call."""
    reissued: int
    """Calls that gRPC's transparent retry sent again; the peer had not processed them."""
    connections_opened: int
    connections_killed: int
    connections: list[ConnectionLife]
    calls_per_pod: dict[str, int]
    pods_from: str
    """Source of `calls_per_pod`; empty if there is none."""
    cpu_seconds: float
    """CPU time of the client in all its processes."""
    cpu_cores: float
    """CPU time per second of the run."""
    timeline_step_seconds: float
    timeline: list[dict[str, float]]
    """Steps of the run: `at` (start of the step, seconds from the start of the run), `made`,
    `in_flight` (at the start of the step), and the calls that ended in the step, by outcome."""
    notes: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return asdict(self)


def summarize(
    burst: Burst,
    run: Run,
    *,
    processes: int = 1,
    calls_per_pod: dict[str, int] | None = None,
    pods_from: str = "",
    notes: Sequence[str] = (),
) -> Report:
    """Compute the report of a run."""
    ledger = run.ledger
    by_outcome: dict[Outcome, list[float]] = {}
    first_end: dict[Outcome, float] = {}
    for made, done, code in zip(ledger.made_at, ledger.done_at, ledger.ends, strict=True):
        outcome = OUTCOMES[code - 1]
        by_outcome.setdefault(outcome, []).append(done - made)
        first_end[outcome] = min(done, first_end.get(outcome, done))
    sent = [at for at in ledger.sent_at if not math.isnan(at)]
    first = min(ledger.made_at, default=run.started_at)
    issue_seconds = max(max(sent, default=first) - first, 1e-9)
    seconds = max(run.ended_at - run.started_at, 1e-9)
    waits = (
        at - made
        for at, made in zip(ledger.sent_at, ledger.made_at, strict=True)
        if not math.isnan(at)
    )
    step = 1.0 if seconds >= _LONG_RUN_SECONDS else 0.1
    pods = dict(ledger.pods) if calls_per_pod is None else calls_per_pod
    return Report(
        endpoint=burst.target.authority,
        started_at=datetime.fromtimestamp(run.started_at + run.epoch_offset, UTC).isoformat(),
        engine=burst.engine,
        load=str(burst.plan.load),
        deadline_seconds=burst.plan.deadline_seconds,
        processes=processes,
        connections_asked=processes * burst.connections,
        interrupted=run.interrupted,
        calls=ledger.made,
        outcomes={outcome: ledger.counts[outcome] for outcome in OUTCOMES},
        details=[
            Detail(outcome, detail, calls, ledger.samples.get((outcome, detail), ""))
            for (outcome, detail), calls in ledger.details.most_common()
        ],
        issued=len(sent),
        issue_seconds=issue_seconds,
        issue_per_second=len(sent) / issue_seconds,
        wait_before_sending_ms=Latency.of(waits),
        seconds=seconds,
        goodput_per_second=ledger.counts[Outcome.OK] / seconds,
        latency_ms={
            outcome: latency
            for outcome in OUTCOMES
            if (latency := Latency.of(by_outcome.get(outcome, ())))
        },
        first_end_seconds={
            outcome: first_end[outcome] - run.started_at
            for outcome in OUTCOMES
            if outcome in first_end
        },
        refusal_ms=Latency.of(
            latency for outcome in REFUSALS for latency in by_outcome.get(outcome, ())
        ),
        echo_ms=Latency.of(run.echoes),
        retries=ledger.retries,
        reissued=run.reissued,
        connections_opened=len(run.records),
        connections_killed=sum(record.killed for record in run.records),
        connections=[
            ConnectionLife(
                opened_seconds=record.opened_at - run.started_at,
                ended_seconds=None if record.ended_at is None else record.ended_at - run.started_at,
                why=record.why,
                killed=record.killed,
                calls_lost=record.calls_lost,
            )
            for record in run.records
        ],
        calls_per_pod=dict(sorted(pods.items())),
        pods_from=pods_from or ("the answers" if ledger.pods else ""),
        cpu_seconds=run.cpu_seconds,
        cpu_cores=run.cpu_seconds / seconds,
        timeline_step_seconds=step,
        timeline=timeline(ledger, run.started_at, seconds, step),
        notes=[*notes, *_hints(ledger.samples)],
    )


_HINTS = (
    (
        (Outcome.OTHER, "NOT_FOUND"),
        "the server does not know the model; name another one with --model",
    ),
    (
        (Outcome.OTHER, "INVALID_ARGUMENT"),
        "the model takes another tensor; describe it with --tensor",
    ),
    ((Outcome.OTHER, "UNIMPLEMENTED"), "the endpoint speaks gRPC but not KServe v2"),
)


def _hints(samples: dict[tuple[Outcome, str], str]) -> list[str]:
    return [f"{hint} ({samples[kind]})" for kind, hint in _HINTS if kind in samples]
