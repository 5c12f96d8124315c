"""The watchdog's decisions, as the program that a container runs, about a server of the test's own.

Not shown: that Triton answers so; tests/serving has a real one with models that are dead.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from components.triton.start import STOP_PATH, watchdog_program
from tests.envoy.harness.waiting import wait_until
from tests.unit.test_triton_watchdog_requests import WARM
from tests.unit.watched import (
    BROKEN,
    FINE,
    FULL,
    PATIENCE,
    PATIENCE_SECONDS,
    PROGRAM,
    SILENT,
    SLICE_SECONDS,
    UNKNOWN,
    Verdict,
    watched,
)


def after(count: int, then: Verdict) -> Callable[[int], Verdict]:
    """Good for so many inferences, and then otherwise."""
    return lambda call: FINE if call <= count else then


@pytest.mark.parametrize(
    ("then", "words"), [(BROKEN, "boom"), (SILENT, "no answer"), (FULL, "Exceeds maximum queue")]
)
def test_a_model_that_dies_ends_the_container_with_its_last_words(
    then: Verdict, words: str
) -> None:
    """A full queue that answers nobody is dead as well."""
    assert watchdog_program() != PROGRAM
    began_at = time.monotonic()
    with watched(after(3, then)) as container:
        code, said = container.end()
    assert code == 1
    assert f"model m answered no inference for 1.5 s: {words}" in said
    assert container.triton.calls > 3
    assert time.monotonic() - began_at >= PATIENCE_SECONDS - SLICE_SECONDS


def test_one_answer_among_failures_is_enough() -> None:
    """A model that fails some calls is not dead."""
    with watched(lambda call: FINE if call % 2 else BROKEN) as container:
        container.wait_until_calls(2 * PATIENCE + 4)
        assert container.process.poll() is None


def test_a_full_queue_is_life_as_long_as_others_are_answered() -> None:
    def infer(call: int) -> Verdict:
        container.triton.answered += 1
        return after(1, FULL)(call)

    with watched(infer) as container:
        container.wait_until_calls(PATIENCE + 4)
        assert container.process.poll() is None


def test_a_slow_answer_within_patience_is_life() -> None:
    def infer(_: int) -> Verdict:
        time.sleep(4 * SLICE_SECONDS)
        return FINE

    with watched(infer) as container:
        container.wait_until_calls(2 + PATIENCE // 4)
        assert container.process.poll() is None


def test_a_replica_is_started_when_its_model_has_answered() -> None:
    answers = threading.Event()

    def infer(_: int) -> Verdict:
        answers.wait()
        return FINE

    with watched(infer, WARM) as container:
        container.wait_until_calls(1)
        assert not container.is_ready()
        answers.set()
        wait_until("the replica has started", container.is_ready)


@pytest.mark.parametrize(
    "stated",
    [{}, {"requests": [{"model": "m", "inputs": [{"name": "x", "datatype": "FP32"}]}]}],
    ids=["warm-up", "stated"],
)
def test_a_model_that_fails_a_good_inference_from_the_start_is_never_ready(
    stated: dict[str, Any],
) -> None:
    """It is left to the startup probe's budget, as a first inference may take long."""
    with watched(lambda _: BROKEN, WARM, **stated) as container:
        container.wait_until_calls(4)
        assert not container.is_ready()
        assert container.process.poll() is None


@pytest.mark.parametrize("verdict", [BROKEN, UNKNOWN])
def test_a_derived_inference_that_never_succeeded_is_not_held_against_the_model(
    verdict: Verdict,
) -> None:
    with watched(lambda _: verdict) as container:
        wait_until("the replica has started", container.is_ready)
        container.process.terminate()
        assert "model m is not watched: it fails the request" in container.end()[1]


def test_a_stated_inference_that_is_not_accepted_keeps_the_replica_from_starting() -> None:
    requests = [{"model": "m", "inputs": [{"name": "y", "datatype": "BYTES", "shape": [2]}]}]
    with watched(lambda _: UNKNOWN, requests=requests) as container:
        container.wait_until_calls(1)
        assert not container.is_ready()
        assert b'"data": ["", ""]' in container.triton.bodies[0]


def test_a_skipped_model_gets_no_inference() -> None:
    with watched(lambda _: BROKEN, skippedModels=["m"]) as container:
        wait_until("the replica has started", container.is_ready)
        assert container.triton.calls == 0


@pytest.mark.parametrize(("ends", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_the_container_ends_as_the_server_does(ends: str, code: int) -> None:
    with watched(lambda _: FINE, child=ends) as container:
        assert container.end()[0] == code


def test_a_stop_reaches_the_server_which_is_watched_no_longer() -> None:
    """The inferences fail from then on, for longer than patience lasts."""
    stop = f"trap 'sleep {2 * PATIENCE_SECONDS}; exit 7' TERM; sleep 600 & wait"
    with watched(after(3, BROKEN), child=stop) as container:
        container.wait_until_calls(3)
        container.process.terminate()
        code, said = container.end()
    assert code == 7
    assert "answered no inference" not in said


@pytest.mark.parametrize(("status", "takes_calls"), [(503, False), (0, True)])
def test_a_triton_that_is_not_ready_takes_no_calls_and_one_that_is_busy_does(
    status: int, takes_calls: bool
) -> None:
    """Its models may answer all the same: another one failed to load, or is unloaded."""
    with watched(lambda _: FINE) as container:
        wait_until("the replica takes calls", container.is_ready)
        container.triton.ready = status
        if takes_calls:
            container.wait_until_calls(container.triton.calls + 2 * PATIENCE)
            assert container.is_ready()
        else:
            wait_until("it takes no calls", lambda: not container.is_ready())
            container.triton.ready = 200
            wait_until("it takes calls again", container.is_ready)


def test_a_replica_that_stops_takes_no_calls_while_its_hook_waits() -> None:
    """And none until the server ends, which gets its SIGTERM only after the hook."""
    stop = "trap 'sleep 600' TERM; sleep 600 & wait"
    with watched(lambda _: FINE, child=stop, pre_stop_seconds=600) as container:
        wait_until("the replica takes calls", container.is_ready)
        hook = socket.create_connection(("127.0.0.1", container.port), timeout=30)
        hook.sendall(f"GET {STOP_PATH} HTTP/1.1\r\nHost: replica\r\n\r\n".encode())
        wait_until("it takes no calls", lambda: not container.is_ready())
        assert not select.select([hook], [], [], 0)[0], "the hook has ended"
        container.process.terminate()
        assert hook.recv(4096)
        assert not container.is_ready()
        assert container.process.poll() is None


def test_a_replica_whose_hook_no_sigterm_follows_takes_calls_again() -> None:
    """A stranger on the port takes a replica away for seconds, not for ever."""
    with watched(lambda _: FINE, signal_seconds=0.3) as container:
        wait_until("the replica takes calls", container.is_ready)
        httpx2.get(f"http://127.0.0.1:{container.port}{STOP_PATH}", trust_env=False)
        wait_until("it takes calls again", container.is_ready)


def test_a_client_that_asks_nothing_keeps_no_other_from_its_answer() -> None:
    with watched(lambda _: FINE) as container, ExitStack() as clients:
        wait_until("the replica takes calls", container.is_ready)
        for _ in range(50):
            clients.enter_context(socket.create_connection(("127.0.0.1", container.port)))
        began_at = time.monotonic()
        assert container.is_ready()
        assert time.monotonic() - began_at < 50 * SLICE_SECONDS
