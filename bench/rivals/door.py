"""The price of a locked door: the stack's own gateway in plain text, with TLS, and with all."""

import json
from pathlib import Path

from bench.report import BenchReport, machine
from bench.rivals.designs import ours
from bench.rivals.loads import BURSTS, PRICE
from bench.rivals.own import ENCRYPTED, LOCKED
from bench.rivals.rivals import Results, measure, median, table

PLAIN, TLS, ALL = "plain text", "TLS", "mTLS, tokens, limits and log"

_COLUMN = "gateway CPU a call"
_MOST_OVER_PLAIN = 1.25


def run(report: BenchReport, repeats: int, out: Path) -> None:
    """Measure each door under light load, many calls, and the burst under each pressure.

    Args:
        report: Report that gets tables and the goal.
        repeats: Runs of each.
        out: Folder for JSON.
    """
    designs = (ours(PLAIN), ours(TLS, ENCRYPTED), ours(ALL, LOCKED))
    results = measure(repeats, designs, (*PRICE, *BURSTS))
    out.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "results": results}
    (out / "door.json").write_text(json.dumps(document, indent=1))
    report.tables += [table(f"door: {name}", found) for name, found in results.items()]
    judge(report, results)


def judge(report: BenchReport, results: Results) -> None:
    """Compare the CPU of a 1 kB call behind the locked door with the price in plain text."""
    for load in PRICE:
        found = results[load.name]
        locked, plain = (median(found[name], _COLUMN) for name in (ALL, PLAIN))
        ratio = locked / plain if locked and plain else None
        words = f"{load.name}: CPU of a call behind the locked door"
        report.at_most(words, ratio, _MOST_OVER_PLAIN, "x")
