"""Issue rate of the event flow on one connection, beside ghz in the same run."""

import statistics
from collections.abc import Sequence

from bench.report import BenchReport, console
from eventflow.bench import CALLS, ENVOY, GHZ, OURS, REJECTING_SERVER, ClientSample, measure
from eventflow.errors import EventFlowError
from local_cluster import toolchain
from ops.errors import OpsError

ISSUED_PER_SECOND = 25_000.0
CORES = 1.0
OVER_GHZ = 1.0


def run(report: BenchReport, repeats: int, calls: int = CALLS) -> None:
    """Measure each client with each server `repeats` times.

    Raises:
        OpsError: A client or a server failed.
    """
    ghz = toolchain.ensure(GHZ)[GHZ]
    console.print(f"{calls:,} calls on one connection to servers that refuse at once ({repeats} x)")
    try:
        results = measure(calls, repeats, ghz, console.print)
    except EventFlowError as error:
        raise OpsError(str(error)) from error
    for name, samples in results.items():
        issued = [s.issued_per_second for s in samples if s.issued_per_second is not None]
        if issued:
            report.sample(f"{name}: issued", "calls/s", issued)
        report.sample(f"{name}: answered", "calls/s", _ended(samples))
        report.sample(f"{name}: cores", "cores", [s.cores for s in samples])
    judge(report, results)


def judge(report: BenchReport, results: dict[str, list[ClientSample]]) -> None:
    """Compare the medians with the goals.

    Args:
        report: Report that gets the goals.
        results: Samples by `client, server`, as `eventflow.bench.measure` names them.
    """
    ours = results[f"{OURS}, {REJECTING_SERVER}"]
    issued = [s.issued_per_second for s in ours if s.issued_per_second is not None]
    report.at_least("calls issued", statistics.median(issued), ISSUED_PER_SECOND, "calls/s")
    # Two decimals: CPU time and clock are read at different moments.
    cores = round(statistics.median(s.cores for s in ours), 2)
    report.at_most("cores of the client that issues them", cores, CORES, "cores")
    for server in (REJECTING_SERVER, ENVOY):
        rivals = [
            statistics.median(_ended(samples))
            for name, samples in results.items()
            if name.startswith(GHZ) and name.endswith(server)
        ]
        if rivals:
            mine = statistics.median(_ended(results[f"{OURS}, {server}"]))
            words = f"calls answered over the best of ghz, {server}"
            report.at_least(words, mine / max(rivals), OVER_GHZ, "x")


def _ended(samples: Sequence[ClientSample]) -> list[float]:
    return [sample.ended_per_second for sample in samples]
