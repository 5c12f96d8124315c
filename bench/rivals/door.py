"""The price of a locked door, and callers' shares behind it, by the stack's own gateway."""

import json
from pathlib import Path

from bench.report import BenchReport, machine
from bench.rivals.designs import ours
from bench.rivals.loads import BURSTS, PRICE, SHARES
from bench.rivals.own import ENCRYPTED, FAIR, LOCKED
from bench.rivals.rivals import Results, measure, median, table

PLAIN, TLS, ALL = "plain text", "TLS", "mTLS, tokens, limits and log"
WITH_SHARES = "all, and fair shares"

_COLUMN = "gateway CPU a call"
_MOST_OVER_PLAIN = 1.25
_LEAST_OK, _MOST_OVER_ALONE = 0.95, 2.0


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
