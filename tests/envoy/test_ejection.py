"""Outlier detection: failed connections eject a replica, answers and resets never do."""

from collections.abc import Callable

import grpc
import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import answering, large_trailers, reset
from tests.envoy.harness.waiting import wait_until

STREAMS = 4
"""Streams of one replica; one failure more in a row ejects it."""

MANY = 8 * STREAMS

UNCHECKED = {"healthChecks": {"intervalSeconds": 3600}, "retries": {"attempts": 0}}
CHECKED = {"healthChecks": {"intervalSeconds": 0.1}, "retries": {"attempts": 0}}


def outlier_stat(bed: Bed, name: str) -> int:
    return bed.gateway.cluster_stat(f"outlier_detection.{name}")


def ejections(bed: Bed) -> int:
    return outlier_stat(bed, "ejections_enforced_total")


def wait_for_checks(bed: Bed, count: int) -> None:
    before = bed.gateway.cluster_stat("health_check.success")
    wait_until(
        "health checks pass",
        lambda: bed.gateway.cluster_stat("health_check.success") >= before + count,
    )


def without(setting):
    def edit(config):
        del parts.outliers(config)[setting]

    edit.__name__ = f"without_{setting}"
    return edit


@pytest.mark.parametrize(
    ("edit", "out"),
    [(unchanged, True), (without("split_external_local_origin_errors"), False)],
)
def test_a_replica_that_refuses_connections_is_ejected(bed, edit, out):
    """Long before health checks find it, and without any."""
    with (
        bed(gateway=UNCHECKED, streams_per_pod=STREAMS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        lost = codes(client.calls(60, window=1))["UNAVAILABLE"]
        assert (lost == STREAMS + 1) is out
        assert (ejections(it) == 1) is out


STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


@pytest.mark.parametrize(
    ("edit", "stays"), [(unchanged, True), (without("enforcing_consecutive_5xx"), False)]
)
def test_no_status_ejects_a_replica(bed, edit, stays):
    """A caller can cause each of them: by a method, a shape, or an input that makes models raise.

    None of them is retried either: a caller's faults cost its own calls alone.
    """
    gateway = {"healthChecks": {"intervalSeconds": 3600}}
    with (
        bed(gateway=gateway, streams_per_pod=STREAMS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        for status in STATUSES:
            for replica in it.fleet.replicas:
                replica.failure = status
            outcomes = client.calls(4 * STREAMS, window=STREAMS)
            if not outlier_stat(it, "ejections_active"):
                assert codes(outcomes) == {status.name: 4 * STREAMS}
        assert it.gateway.cluster_stat("upstream_rq_retry") == 0
        assert (ejections(it) == 0) is stays


def together(count: int, answer: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Answer only once so many calls are open: no new one comes between their answers."""
    waiting: list[int] = []

    def answer_all(stream: int) -> bytes:
        waiting.append(stream)
        if len(waiting) < count:
            return b""
        frames = b"".join(map(answer, waiting))
        waiting.clear()
        return frames

    return answer_all


ANSWERS = {
    **{f"RST_STREAM {code}": (lambda stream, c=code: reset(stream, c)) for code in (1, 2, 8, 11)},
    "trailers of 257 KiB": lambda stream: large_trailers(stream, 257 * 1024),
}


@pytest.mark.parametrize(
    ("edit", "stays"),
    [(unchanged, True), (without("consecutive_local_origin_failure"), False)],
)
@pytest.mark.parametrize("name", ANSWERS)
def test_no_reset_ejects_a_replica(bed, name, edit, stays):
    """Envoy's own five in a row are fewer than the calls that a replica may reset together."""
    gateway = {**UNCHECKED, "outliers": {"maxEjectionPercent": 100}}
    with (
        bed(replicas=1, gateway=gateway, streams_per_pod=MANY, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        (replica,) = it.fleet.replicas
        it.fleet.stop(replica)
        with answering(replica.host, it.fleet.port, together(MANY, ANSWERS[name])):
            outcomes = client.calls(4 * MANY, window=MANY)
        assert codes(outcomes)["OK"] == 0
        assert (ejections(it) == 0) is stays


@pytest.mark.parametrize(
    ("edit", "ejected"), [(unchanged, 2), (without("max_ejection_percent"), 0)]
)
def test_at_most_the_stated_share_of_the_fleet_is_ejected(bed, edit, ejected):
    gateway = {**UNCHECKED, "outliers": {"maxEjectionPercent": 50, "baseEjectionSeconds": 600}}
    with (
        bed(replicas=4, gateway=gateway, streams_per_pod=STREAMS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        for replica in it.fleet.replicas[:3]:
            it.fleet.stop(replica)
        client.calls(100, window=1)
        wait_until(
            "each of the three has been noticed",
            lambda: outlier_stat(it, "ejections_detected_consecutive_local_origin_failure") >= 3,
        )
        assert outlier_stat(it, "ejections_active") == ejected


@pytest.mark.parametrize(
    ("edit", "ends"),
    [(unchanged, True), (without("interval"), False), (without("base_ejection_time"), False)],
)
def test_an_ejection_ends_when_stated(bed, edit, ends):
    """Envoy's own numbers are 10 s until the next look and 30 s of ejection."""
    gateway = {**CHECKED, "outliers": {"intervalSeconds": 0.1, "baseEjectionSeconds": 0.2}}
    with (
        bed(gateway=gateway, streams_per_pod=STREAMS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        it.fleet.stop(it.fleet.replicas[0])
        client.calls(60, window=1)
        wait_until("it is ejected", lambda: ejections(it))
        if ends:
            wait_until("it is back", lambda: outlier_stat(it, "ejections_active") == 0)
        else:
            wait_for_checks(it, 20)
            assert outlier_stat(it, "ejections_active") == 1


def with_time_alone(config):
    parts.outliers(config)["successful_active_health_check_uneject_host"] = False


@pytest.mark.parametrize(("edit", "ends"), [(unchanged, True), (with_time_alone, False)])
def test_an_ejection_ends_with_a_good_health_check(bed, edit, ends):
    """A replica that accepts connections again, as after a restart, is needed at once."""
    gateway = {**CHECKED, "outliers": {"baseEjectionSeconds": 600}}
    with (
        bed(gateway=gateway, streams_per_pod=STREAMS, edit=edit) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        replica = it.fleet.replicas[0]
        it.fleet.stop(replica)
        client.calls(60, window=1)
        wait_until("it is ejected", lambda: ejections(it))
        it.fleet.start(replica)
        if ends:
            wait_until("it is back", lambda: outlier_stat(it, "ejections_active") == 0)
        else:
            wait_for_checks(it, 20)
            assert outlier_stat(it, "ejections_active") == 1


@pytest.mark.parametrize(
    ("edit", "stays"),
    [
        (unchanged, True),
        (without("enforcing_success_rate"), False),
        (without("enforcing_local_origin_success_rate"), False),
    ],
)
def test_a_replica_that_only_stands_out_is_not_ejected(bed, edit, stays):
    """By default Envoy compares success rates: in a large fleet one unlucky replica is always last.

    Envoy's request volume of 100 calls an interval is made smaller here.
    """
    local = "local_origin" in edit.__name__

    def with_few_calls(config):
        edit(config)
        parts.outliers(config).update(
            success_rate_request_volume=5, consecutive_local_origin_failure=100_000
        )

    gateway = {**UNCHECKED, "outliers": {"intervalSeconds": 0.5}}
    with (
        bed(replicas=6, gateway=gateway, edit=with_few_calls) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        if local:
            it.fleet.stop(it.fleet.replicas[0])
        else:
            it.fleet.replicas[0].failure = grpc.StatusCode.INTERNAL
        kind = "local_origin_success_rate" if local else "success_rate"

        def noticed() -> int:
            client.calls(60, window=4)
            return outlier_stat(it, f"ejections_detected_{kind}")

        wait_until("Envoy notices it", noticed)
        enforced = outlier_stat(it, f"ejections_enforced_{kind}")
        assert (enforced == 0) is stays
