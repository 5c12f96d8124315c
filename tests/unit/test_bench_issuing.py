"""Goals of the event flow's issue rate. The rate itself shows when the benchmark is run."""

from bench.issuing import judge
from bench.report import BenchReport
from eventflow.bench import ENVOY, GHZ, OURS, REJECTING_SERVER, ClientSample

FAST = ClientSample(issued_per_second=90_000, ended_per_second=80_000, cores=1.004, ended=50_000)
SLOW = ClientSample(issued_per_second=20_000, ended_per_second=18_000, cores=1.3, ended=50_000)
RIVAL = ClientSample(issued_per_second=None, ended_per_second=40_000, cores=2.0, ended=50_000)
WEAK = ClientSample(issued_per_second=None, ended_per_second=30_000, cores=2.0, ended=50_000)


def goals(
    ours: ClientSample, servers: tuple[str, ...] = (REJECTING_SERVER, ENVOY)
) -> dict[str, tuple]:
    results = {}
    for server in servers:
        results[f"{OURS}, {server}"] = [ours] * 3
        results[f"eventflow grpcio, {server}"] = [SLOW] * 3
        results[f"{GHZ}, 100 workers, {server}"] = [RIVAL] * 3
        results[f"{GHZ}, 1,000 workers, {server}"] = [WEAK] * 3
    report = BenchReport()
    judge(report, results)
    return {goal.name: (goal.value, goal.met) for goal in report.goals}


def test_rate_cores_and_the_best_of_ghz_are_what_it_is_held_to() -> None:
    """Not shown: that this client meets them."""
    fast, slow = goals(FAST), goals(SLOW)
    assert fast["calls issued"] == (90_000, True)
    assert fast["cores of the client that issues them"] == (1.0, True)
    assert fast["calls answered over the best of ghz, rejecting server"] == (2.0, True)
    assert fast["calls answered over the best of ghz, Envoy"] == (2.0, True)
    assert slow["calls issued"] == (20_000, False)
    assert slow["cores of the client that issues them"] == (1.3, False)
    assert slow["calls answered over the best of ghz, rejecting server"] == (0.45, False)


def test_a_machine_without_envoy_is_held_to_the_rest() -> None:
    """Not shown: such a machine."""
    assert set(goals(FAST, (REJECTING_SERVER,))) == {
        "calls issued",
        "cores of the client that issues them",
        "calls answered over the best of ghz, rejecting server",
    }
