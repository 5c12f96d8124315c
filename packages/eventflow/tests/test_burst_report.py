"""Reports from a ledger: percentiles, rates, the plot's numbers, and other servers' pages."""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.call import Call
from eventflow.engine import ConnectionRecord
from eventflow.errors import EventFlowError
from eventflow.fetch import Series, difference, query_range, read_counters
from eventflow.ledger import Ledger
from eventflow.load import MaxThroughput
from eventflow.load_generator import Plan
from eventflow.metrics_sources import MetricsSources
from eventflow.outcomes import Outcome, Verdict
from eventflow.plot import draw
from eventflow.report import Latency, Report, summarize
from eventflow.run import Burst, Run
from eventflow.target import Target
from eventflow.timeline import ends_per_bin, in_flight_at

START = 1000.0
calls_of_a_run = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 5), st.sampled_from(list(Outcome))), min_size=1
)


def a_run(calls: list[tuple[float, float, Outcome]], seconds: float = 15.0) -> Run:
    """Calls as tuples of start, duration and outcome."""
    ledger = Ledger()
    for made, latency, outcome in calls:
        call = Call(ledger.make(START + made), b"", START + made, 0.0, ledger.settle)
        call.sent_at = START + made + 0.001
        call.settle(Verdict(outcome, "x"), START + made + latency)
    records = [
        ConnectionRecord(START - 1, START + 2, "GOAWAY", killed=True, calls_lost=3),
        ConnectionRecord(START + 2),
    ]
    return Run(ledger, records, START, START + seconds, cpu_seconds=seconds / 2, epoch_offset=500.0)


def a_report(run: Run) -> Report:
    plan = Plan(load=MaxThroughput(), calls=run.ledger.made)
    return summarize(Burst(target=Target(host="h", port=1), plan=plan, message=b""), run)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_percentile_is_a_measured_time_that_its_share_does_not_exceed(
    times: list[float],
) -> None:
    latency = Latency.of(times)
    assert latency is not None
    for value, share in ((latency.p50, 0.5), (latency.p99, 0.99), (latency.p999, 0.999)):
        assert value in [time * 1000 for time in times]
        assert sum(time * 1000 <= value for time in times) >= share * len(times)
    assert (latency.min, latency.max) == (min(times) * 1000, max(times) * 1000)
    assert Latency.of([]) is None


@given(calls_of_a_run)
def test_a_report_adds_up(calls: list[tuple[float, float, Outcome]]) -> None:
    report = a_report(a_run(calls))
    assert sum(report.outcomes.values()) == report.calls == len(calls)
    assert sum(detail.calls for detail in report.details) == len(calls)
    assert sum(latency.count for latency in report.latency_ms.values()) == len(calls)
    assert report.goodput_per_second == report.outcomes[Outcome.OK] / 15.0
    json.dumps(report.as_dict())
    for outcome, count in report.outcomes.items():
        assert sum(step.get(outcome, 0) for step in report.timeline) == count
    assert sum(step["made"] for step in report.timeline) == len(calls)
    assert [step["at"] for step in report.timeline] == list(range(15))


def test_rates_count_from_the_first_call_to_the_last_one_sent() -> None:
    report = a_report(a_run([(1.0, 0.5, Outcome.OK), (2.999, 0.1, Outcome.BREAKER)]))
    assert report.issue_seconds == pytest.approx(2.0)
    assert report.issue_per_second == pytest.approx(1.0)
    assert report.refusal_ms is not None
    assert report.refusal_ms.p50 == pytest.approx(100.0)
    assert report.cpu_cores == 0.5
    assert report.started_at == "1970-01-01T00:25:00+00:00"
    assert (report.connections_opened, report.connections_killed) == (2, 1)
    assert report.connections[0].opened_seconds == -1
    assert report.first_end_seconds == {
        Outcome.OK: pytest.approx(1.5),
        Outcome.BREAKER: pytest.approx(3.099),
    }


@given(calls_of_a_run, st.integers(1, 50))
def test_the_bars_of_the_plot_hold_every_call_once(
    calls: list[tuple[float, float, Outcome]], bins: int
) -> None:
    run = a_run(calls)
    bars = ends_per_bin(run.ledger, START, 15.0, bins)
    assert {outcome: sum(counts) for outcome, counts in bars.items()} == dict(run.ledger.counts)


@given(calls_of_a_run)
def test_the_line_of_the_plot_counts_calls_between_their_start_and_end(
    calls: list[tuple[float, float, Outcome]],
) -> None:
    run = a_run(calls)
    moments = [START + 0.5 * number for number in range(40)]
    pairs = list(zip(run.ledger.made_at, run.ledger.done_at, strict=True))
    assert in_flight_at(run.ledger, moments) == [
        sum(made <= moment < done for made, done in pairs) for moment in moments
    ]


def test_the_plot_shows_the_replicas_if_they_are_known(tmp_path: Path) -> None:
    run = a_run([(0.5 * i, 0.3, Outcome.OK) for i in range(20)])
    at = tuple(START + 500.0 + second for second in range(15))
    fleet = Series(at, tuple(float(2 + second) for second in range(15)))
    for name, lines in (("plain.svg", {}), ("fleet.svg", {"replicas": fleet, "gateway": fleet})):
        draw(tmp_path / name, "a title", run, **lines)
    assert "<svg" in (tmp_path / "plain.svg").read_text()
    assert (tmp_path / "fleet.svg").stat().st_size > (tmp_path / "plain.svg").stat().st_size
    with pytest.raises(EventFlowError, match=r"picture\.nonsense"):
        draw(tmp_path / "picture.nonsense", "", run)


@contextmanager
def web(pages: dict[str, str]) -> Iterator[str]:
    """A web server with some pages; it keeps only the last query."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(urllib.parse.urlsplit(self.path).path)
            self.send_response(200 if page is not None else 404)
            self.end_headers()
            self.wfile.write((page or "gone").encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


TRITON = """# HELP nv_inference_request_success Number of successful inference requests
nv_inference_request_success{model="echo",version="1"} 40
nv_inference_request_success{model="other",version="1"} 2
nv_inference_request_failure{model="echo",version="1",reason="REJECTED"} 3.000000
nv_inference_count{model="echo",version="1"} 99
"""
ENVOY = """envoy_cluster_endpoint_rq_total{cluster_name="a",envoy_endpoint_address="10.0.0.1:80"} 5
envoy_cluster_endpoint_rq_total{cluster_name="a",envoy_endpoint_address="10.0.0.2:80"} 7
"""
CLUSTERS = """ai::default_priority::max_requests::100
ai::10.0.0.1:8001::rq_total::12
ai::10.0.0.1:8001::rq_success::11
ai::[::1]:8001::rq_total::1
"""


def test_calls_per_replica_are_read_from_tritons_and_envoys_pages() -> None:
    with web({"/metrics": TRITON, "/stats": ENVOY, "/clusters": CLUSTERS, "/x": "a 1"}) as url:
        host = url.removeprefix("http://")
        assert read_counters(f"{url}/metrics") == {host: 45.0}
        assert read_counters(f"{url}/stats") == {"10.0.0.1:80": 5.0, "10.0.0.2:80": 7.0}
        assert read_counters(f"{url}/clusters") == {"10.0.0.1:8001": 12.0, "[::1]:8001": 1.0}
        with pytest.raises(EventFlowError, match="no counter of calls per replica"):
            read_counters(f"{url}/x")
        with pytest.raises(EventFlowError, match="HTTP 404"):
            read_counters(f"{url}/y")


def test_a_page_proxied_by_an_api_server_counts_for_its_pod() -> None:
    pages = {f"/api/v1/namespaces/ai/pods/{pod}/proxy/metrics": TRITON for pod in ("a-1:8002", "b")}
    with web(pages) as url:
        counted = [read_counters(url + page) for page in pages]
    assert counted == [{"a-1": 45.0}, {"b": 45.0}]


def test_only_the_increase_counts_even_for_new_and_restarted_replicas() -> None:
    before, after = {"a": 10.0, "b": 50.0}, {"a": 14.0, "b": 3.0, "c": 2.0}
    assert difference(before, after) == {"a": 4, "b": 3, "c": 2}


def test_calls_of_several_gateways_to_one_replica_add_up() -> None:
    pages = {"/one": ENVOY, "/other": ENVOY}
    with web(pages) as url:
        sources = MetricsSources(counters=(f"{url}/one", f"{url}/other"))
        sources.before()
        pages["/one"] = ENVOY.replace("} 5", "} 15")
        pages["/other"] = ENVOY.replace("} 5", "} 8").replace("} 7", "} 8")
        assert sources.after()[0] == {"10.0.0.1:80": 13, "10.0.0.2:80": 1}


def test_a_page_that_disappears_does_not_hide_the_others() -> None:
    pages = {"/one": ENVOY, "/other": ENVOY}
    with web(pages) as url:
        sources = MetricsSources(counters=(f"{url}/one", f"{url}/other"))
        sources.before()
        del pages["/one"]
        pages["/other"] = ENVOY.replace("} 5", "} 8")
        calls, _, notes = sources.after()
    assert calls == {"10.0.0.1:80": 3, "10.0.0.2:80": 0}
    assert len(notes) == 1
    assert f"{url}/one" in notes[0]


def prometheus(*series: list[tuple[float, str]]) -> str:
    result = [{"metric": {}, "values": points} for points in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def test_prometheus_returns_one_series_or_the_error_names_the_cause() -> None:
    points = [(1.0, "2"), (2.0, "NaN"), (3.0, "20")]
    for page, message in (
        (prometheus(points, points), "2 series; sum"),
        ("<html>", "not a response of Prometheus"),
        (json.dumps({"status": "error"}), "not a response of Prometheus"),
    ):
        with (
            web({"/api/v1/query_range": page}) as url,
            pytest.raises(EventFlowError, match=message),
        ):
            query_range(url, "up", 0, 10, 1)
    with web({"/api/v1/query_range": prometheus(points)}) as url:
        line = query_range(url + "/", "up", 0, 10, 1)
    assert line.at == (1.0, 2.0, 3.0)
    assert (line.values[0], line.values[2]) == (2.0, 20.0)


def test_a_failed_metrics_source_becomes_a_note_and_does_not_end_the_run(tmp_path: Path) -> None:
    with web({"/m": TRITON, "/api/v1/query_range": prometheus()}) as url:
        sources = MetricsSources(
            counters=(f"{url}/m",), picture=tmp_path / "p.png", prometheus=url, replicas_query="r"
        )
        sources.before()
        assert sources.after()[0] == {url.removeprefix("http://"): 0}
        notes = sources.draw("t", a_run([(0.0, 1.0, Outcome.OK)]))
        assert notes[0] == f"{url} has nothing for r"
        assert (tmp_path / "p.png").exists()
    pods, _, notes = sources.after()
    assert pods == {}
    assert "Connection refused" in notes[0]
    assert len(sources.draw("t", a_run([(0.0, 1.0, Outcome.OK)]))) == 2
