"""The price of a locked door, and callers' shares behind it, by the stack's own gateway."""

import json
import time
from pathlib import Path

from bench.door import ENCRYPTED, FAIR, LOCKED
from bench.report import BenchReport, machine
from bench.rivals import bed
from bench.rivals.bed import Bed, Fleet
from bench.rivals.designs import Way, ours
from bench.rivals.figures import Figures
from bench.rivals.loads import BURSTS, PRICE, Load
from bench.rivals.rivals import Results, measure, median, table

PLAIN, TLS, ALL = "plain text", "TLS", "mTLS, tokens, limits and log"
WITH_SHARES = "all, and fair shares"

_COLUMN = "gateway CPU a call"
_MOST_OVER_PLAIN = 1.25
_LEAST_OK, _MOST_OVER_ALONE = 0.95, 2.0

_LARGE_OVER_CAPACITY, _SMALL_OVER_FAIR = 10, 0.4
_BESIDE_AFTER_SECONDS, _BESIDE_SECONDS = 1.5, 5.0
"""Time that the large caller has for itself, and that of the small one, alone and beside it."""


def shares(way: Way, replicas: Bed) -> Figures:
    """Measure a small caller alone, and another one beside a caller with far too many calls."""
    fair = replicas.fleet.capacity / 2
    small = {"rate": _SMALL_OVER_FAIR * fair, "duration": f"{_BESIDE_SECONDS}s"}
    alone = bed.account(way.call_as("alone", **small))
    seconds = _BESIDE_AFTER_SECONDS + _BESIDE_SECONDS
    rate = _LARGE_OVER_CAPACITY * replicas.fleet.capacity
    large = way.call_as("large", rate=rate, duration=f"{seconds}s")
    time.sleep(_BESIDE_AFTER_SECONDS)
    beside = bed.account(way.call_as("small", **small))
    bed.account(large)
    figures = {"small OK": beside["outcomes"]["ok"] / sum(beside["outcomes"].values())}
    if alone["ok_seconds"] and beside["ok_seconds"]:
        usual, then = alone["ok_seconds"]["p99"], beside["ok_seconds"]["p99"]
        times = {"small p99 alone": usual, "small p99 beside": then}
        figures |= {**times, "small over alone": then / usual}
    return figures


SHARES = Load(
    "two callers, one at ten times the capacity",
    # Few calls, so that the gateway is not what is full. They differ, as those of a model do.
    Fleet(replicas=2, ready=2, slots=8, service_seconds=0.1, vary=0.3),
    shares,
)
"""The small caller makes 40 % of its equal share."""


def run(report: BenchReport, repeats: int, out: Path) -> None:
    """Measure each door under light load, many calls, and the burst under each pressure.

    The door without and with fair shares is measured under two callers.

    Args:
        report: Report that gets tables and the goal.
        repeats: Runs of each.
        out: Folder for JSON.
    """
    designs = (ours(PLAIN), ours(TLS, ENCRYPTED), ours(ALL, LOCKED))
    results = measure(repeats, designs, (*PRICE, *BURSTS))
    results |= measure(repeats, (ours(ALL, LOCKED), ours(WITH_SHARES, FAIR)), [SHARES])
    out.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "results": results}
    (out / "door.json").write_text(json.dumps(document, indent=1))
    report.tables += [table(f"door: {name}", found) for name, found in results.items()]
    judge(report, results)


def judge(report: BenchReport, results: Results) -> None:
    """Compare a call's CPU behind the locked door with plain text, and a caller with itself."""
    for load in PRICE:
        found = results[load.name]
        locked, plain = (median(found[name], _COLUMN) for name in (ALL, PLAIN))
        ratio = locked / plain if locked and plain else None
        words = f"{load.name}: CPU of a call behind the locked door"
        report.at_most(words, ratio, _MOST_OVER_PLAIN, "x")
    fair = results[SHARES.name][WITH_SHARES]
    words = "fair shares: small caller beside a large one"
    report.at_least(f"{words}, OK", median(fair, "small OK"), _LEAST_OK, "")
    over = median(fair, "small over alone")
    report.at_most(f"{words}, p99 over alone", over, _MOST_OVER_ALONE, "x")
