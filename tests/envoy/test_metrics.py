"""Metrics and probes that Prometheus and kubelet reach, and admin, which only the pod does."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.rivals.pressure import quota
from components.gateway.envoy.listener import STAT_PREFIX
from components.gateway.envoy.stats import (
    ACTIVE_OVERFLOW,
    CLUSTER_LABEL,
    DOWNSTREAM_REQUESTS,
    DURATION_REACHED,
    LISTENER_LABEL,
    MEMBERSHIP,
    MEMBERSHIP_HEALTHY,
    NONE_HEALTHY,
    PENDING_OVERFLOW,
    REQUESTS_ACTIVE,
    REQUESTS_WAITING,
    UPTIME,
    WORKER_BUSY,
)
from components.monitoring.gateway_alerts import BUSY_SHARE
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient

SERIES = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} ")


def matching(text: str, name: str, label: str, value: str) -> list[str]:
    """Series that the PromQL selector `name{label="value"}` matches."""
    found = [match for line in text.splitlines() if (match := SERIES.match(line))]
    return [
        match.group(0)
        for match in found
        if match["name"] == name and f'{label}="{value}"' in match["labels"].split(",")
    ]


def without_tag(config):
    del config["stats_config"]["stats_tags"]


@pytest.mark.parametrize(("edit", "series"), [(unchanged, 1), (without_tag, 0)])
@pytest.mark.parametrize(
    "name",
    [
        REQUESTS_ACTIVE,
        REQUESTS_WAITING,
        PENDING_OVERFLOW,
        ACTIVE_OVERFLOW,
        NONE_HEALTHY,
        MEMBERSHIP,
        MEMBERSHIP_HEALTHY,
    ],
)
def test_scaler_and_alerts_match_exactly_one_series_a_gateway(bed, name, edit, series):
    with bed(replicas=1, edit=edit) as it:
        status, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        assert status == 200
        assert len(matching(text, name, CLUSTER_LABEL, it.stack.envoy_cluster)) == series


def test_calls_that_ended_at_their_deadline_show_in_one_series_of_the_listeners(bed):
    """It says nothing of the stack: whose gateway it is, a label of the scrape's says."""
    with bed(traffic={"deadlineSeconds": 0.3}) as it, GrpcClient(it.gateway.port) as client:
        it.fleet.hang()
        assert len(client.calls(3, timeout_seconds=None)) == 3
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        (series,) = matching(text, DURATION_REACHED, LISTENER_LABEL, STAT_PREFIX)
        assert f"{series}3\n" in text
        (series,) = matching(text, DOWNSTREAM_REQUESTS, LISTENER_LABEL, STAT_PREFIX)
        assert f"{series}3\n" in text


def test_a_gateway_shows_its_uptime(bed):
    """The alert on a crash loop counts where it falls."""
    with bed(replicas=1) as it:
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        assert len([line for line in text.splitlines() if line.startswith(UPTIME + "{")]) == 1


def without_dispatcher_stats(config):
    del config["enable_dispatcher_stats"]


@pytest.mark.parametrize(("edit", "series"), [(unchanged, 1), (without_dispatcher_stats, 0)])
def test_a_gateway_shows_how_busy_its_one_worker_is(bed, edit, series):
    with bed(replicas=1, edit=edit) as it:
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        found = [line for line in text.splitlines() if line.startswith(WORKER_BUSY + "{")]
        assert len(found) == series


_SEVERAL_FLUSHES_SECONDS = 0.2


def with_quick_statistics(config):
    """Envoy merges histograms every 5 s, for which a test has no time."""
    config["stats_flush_interval"] = "0.05s"


@contextmanager
def measured(bed: Bed, shares: list[float]) -> Iterator[None]:
    """Add the share of the block's time in which the worker was busy, as the alert asks for it."""

    def busy() -> float:
        _, text = bed.gateway.get("/stats/prometheus", port=bed.stack.gateway.ops_port)
        (line,) = (line for line in text.splitlines() if line.startswith(WORKER_BUSY + "{"))
        return float(line.rpartition(" ")[2]) / 1e6

    before, began = busy(), time.monotonic()
    yield
    time.sleep(_SEVERAL_FLUSHES_SECONDS)
    shares.append((busy() - before) / (time.monotonic() - began))


def test_a_gateway_at_its_cpu_limit_is_busy_by_the_measure_of_the_alert(bed):
    """Not shown: the alert's five minutes. Its expression meets series in tests/unit."""
    shares: list[float] = []
    with (
        bed(replicas=1, edit=with_quick_statistics) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        with measured(it, shares):
            client.calls(20, window=2)
            time.sleep(2)
        with measured(it, shares), quota([it.gateway.process.pid], 0.05):
            batch = client.start(10_000)
            time.sleep(5)
        batch.cancel()
    idle, limited = shares
    assert idle < BUSY_SHARE < limited


def test_stacks_in_one_program_have_series_of_their_own(bed):
    with bed(replicas=1, name_prefix="team-a-") as it:
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        assert matching(text, REQUESTS_ACTIVE, CLUSTER_LABEL, "team_a_ai_inference_cluster")
        assert not matching(text, REQUESTS_ACTIVE, CLUSTER_LABEL, "ai_inference_cluster")


def test_calls_in_flight_show_in_the_metric(bed):
    with bed(replicas=2) as it, GrpcClient(it.gateway.port) as client:
        client.calls(20, window=5)
        it.fleet.hang()
        batch = client.start(7)
        it.fleet.wait_for_active(7)
        _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
        (line,) = [
            line
            for line in text.splitlines()
            if line.startswith(REQUESTS_ACTIVE + "{")
            and f'{CLUSTER_LABEL}="{it.stack.envoy_cluster}"' in line
        ]
        assert line.endswith(" 7")
        it.fleet.resume()
        batch.wait()


def test_the_ops_port_shows_readiness_and_metrics_and_nothing_else(bed):
    with bed(replicas=1) as it:
        port = it.stack.gateway.ops_port

        def status(path: str, method: str = "GET") -> int:
            return it.gateway.get(path, method, port)[0]

        assert status("/ready") == 200
        assert status("/stats/prometheus") == 200
        for path in ("/", "/stats", "/config_dump", "/server_info", "/ready/", "/ready/../stats"):
            assert status(path) == 404, path
        for path in ("/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/ready"):
            assert status(path, "POST") == 404, path
        assert status("/ready") == 200, "none of it had an effect"


def test_admin_listens_on_loopback_alone(bed):
    """The bed moves the other listeners to loopback, but leaves admin's address as it ships."""
    with bed(replicas=1) as it:
        for address in ("127.0.0.2", "127.1.2.3"):
            with socket.socket() as sock:
                assert sock.connect_ex((address, it.stack.gateway.admin_port)) != 0
        assert it.gateway.get("/ready")[0] == 200


def test_envoy_finds_nothing_to_warn_of_in_the_bootstrap(bed):
    with bed(replicas=1) as it:
        lines = it.gateway.log.splitlines()
        assert not [line for line in lines if "][warning]" in line or "][error]" in line]
