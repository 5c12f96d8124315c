"""Callers that open calls and reset them at once, by the thousand (CVE-2023-44487).

Not shown: the time that they cost others; it depends on the machine.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.envoy.harness import parts
from tests.envoy.harness.bed import Bed, unchanged
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.raw import GREETING, opened_and_reset, silent
from tests.envoy.harness.waiting import wait_until

CALLERS, CALLS_EACH = 400, 10


def with_envoys_limit_of_frames(config):
    del parts.http2_up(config)["max_outbound_control_frames"]


@contextmanager
def at_once(bed: Bed) -> Iterator[None]:
    """The gateway sees all that happens in the block only after it."""
    bed.gateway.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        bed.gateway.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("edit", "survive"), [(unchanged, True), (with_envoys_limit_of_frames, False)]
)
def test_callers_that_reset_calls_together_end_no_call_of_others(bed, edit, survive):
    with (
        bed(replicas=1, edit=edit) as it,
        GrpcClient(it.gateway.port) as other,
        ExitStack() as callers,
    ):
        it.fleet.hang()
        batch = other.start(4)
        it.fleet.wait_for_active(4)
        with at_once(it):
            frames = GREETING + opened_and_reset(CALLS_EACH)
            callers.enter_context(silent(it.gateway.port, frames, CALLERS))
        ended = it.gateway.cluster_stat
        if survive:
            there = it.gateway.downstream_stat
            calls = 4 + CALLERS * CALLS_EACH
            wait_until("it has seen all", lambda: there("downstream_rq_total") == calls)
        else:
            wait_until("it ends its connection", lambda: ended("http2.outbound_control_flood"))
        it.fleet.resume()
        assert codes(batch.wait()) == ({"OK": 4} if survive else {"UNAVAILABLE": 4})
