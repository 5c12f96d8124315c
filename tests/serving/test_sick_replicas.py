"""A replica whose model is dead restarts by itself, and the others serve on.

The model's process is stopped or killed by the machine, Triton runs out of memory by the kernel's
doing. Not shown here: a GPU, a model of another backend, and several nodes.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.overload.burst_process import BurstProcess
from bench.overload.stack_bed import stack_bed
from config.sections.inference import InferenceStack
from eventflow.outcomes import Outcome
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout
from tests.serving.accounts import WINDOW, accounted
from tests.serving.replicas import MODEL, SERVER, Replica, replicas

RESTART_SECONDS = 120
"""Longest time for a container's end, kubelet's restart and Triton's load, on a busy machine."""

GOOD_SECONDS = 3
"""Seconds in a row without a failed call, at the end of a load."""

_DIRECT = """
import sys, threading
import grpc
from tests.serving.test_calls import request
from tests.envoy.harness.backend import INFER
address, calls, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
with grpc.insecure_channel(address, options) as channel:
    infer = channel.unary_unary(INFER)
    made = [infer.future(request("x" * size), timeout=60) for _ in range(calls)]
    print(*sorted({call.code().name for call in made}))
"""
"""Calls to one replica past the gateway, which would refuse those that are too large."""


def directly(checkout: Checkout, replica: Replica, calls: int, size: int) -> set[str]:
    """Make so many calls at once of so many bytes; return the kinds of their ends."""
    bed = stack_bed(checkout.env, read_settings(checkout.env), "dev")
    port = _stack(checkout).triton.grpc_port
    address = f"{replica.address}:{port}"
    command = [*bed.enter, sys.executable, "-c", _DIRECT, address, str(calls), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def _stack(checkout: Checkout) -> InferenceStack:
    return read_settings(checkout.env).inference[0]


def _largest(stack: InferenceStack) -> int:
    """Bytes of a text that just fits into the largest request."""
    return 1000 * stack.traffic.max_request_kib


def _restarted(checkout: Checkout, sick: Replica) -> Replica:
    """The replica, once it has restarted once and is ready again."""

    def again() -> Replica | None:
        (found,) = [found for found in replicas(checkout) if found.uid == sick.uid]
        return found if found.is_ready and found.restarts > sick.restarts else None

    found = wait_until(f"{sick.name} has restarted", again, RESTART_SECONDS)
    assert found
    assert found.restarts == sick.restarts + 1
    return found


@pytest.fixture
def two(served: Checkout) -> tuple[Replica, Replica]:
    """The smallest fleet, ready."""

    def ready() -> list[Replica]:
        found = replicas(served)
        return found if len(found) == 2 and all(one.is_ready for one in found) else []

    one, other = wait_until("two replicas are ready", ready, RESTART_SECONDS)
    return one, other


def _settled(timeline: list[dict[str, Any]]) -> bool:
    """The last seconds had good ends only."""
    last = timeline[-GOOD_SECONDS - 1 : -1]
    return all(row.get(Outcome.OK) for row in last) and not any(
        calls for row in last for name, calls in row.items() if name in set(Outcome) - {Outcome.OK}
    )


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "fails"])
def test_a_replica_whose_model_is_dead_gets_no_calls_and_restarts(
    served: Checkout,
    two: tuple[Replica, Replica],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """Under load, of which the other replica answers its part; Triton's own health stays good."""
    sick, good = two
    stack = _stack(served)
    with BurstProcess.start(gateway_address(served.env), window=WINDOW, folder=tmp_path) as client:
        sick.processes()[MODEL].send_signal(number)
        dead_at = time.time()
        found = _restarted(served, sick)
        time.sleep(GOOD_SECONDS + 2)
        report = client.stop()
    ended = accounted(report)
    within = stack.watchdog_interval_seconds + stack.watchdog_patience_seconds
    assert (
        f"model echo answered no inference for {stack.watchdog_patience_seconds:g} s"
        in (found.last["message"])
    )
    print(f"{number.name}: {ended}, of {within:g} s; {found.last}; dead at {dead_at:.0f}")
    assert ended[Outcome.OK] > 0
    assert _settled(report["timeline"]), report["timeline"][-8:]
    (other,) = [one for one in replicas(served) if one.uid == good.uid]
    assert (other.restarts, other.ready_since) == (good.restarts, good.ready_since)


def test_an_answer_too_large_for_shared_memory_fails_that_call_only(
    served: Checkout, two: tuple[Replica, Replica]
) -> None:
    """Past the gateway, and with others under way. Not shown: models other than the sample."""
    replica = two[0]
    size = _stack(served).triton.shm_mib * 600_000
    assert directly(served, replica, 1, size) == {"INTERNAL"}
    assert directly(served, replica, 1, 10) == {"OK"}
    (found,) = [one for one in replicas(served) if one.uid == replica.uid]
    assert found == replica


def test_after_an_out_of_memory_kill_a_replica_has_all_of_its_shared_memory(
    served: Checkout, two: tuple[Replica, Replica]
) -> None:
    """The largest calls, as many at once as the parameters allow, before and after it.

    The kernel kills for memory that the container is charged with, as it would for the model's.
    """
    replica, stack = two[0], _stack(served)
    largest = stack.calls_in_replica, _largest(stack)
    assert directly(served, replica, *largest) == {"OK"}
    before = replica.shared_memory()
    assert sum(before.values()) > stack.triton.shm_mib * 2**20 / 2
    replica.run_out_of_memory()
    found = _restarted(served, replica)
    assert not found.shared_memory().keys() & before.keys()
    assert directly(served, found, *largest) == {"OK"}
    assert directly(served, found, 1, 3_000_000) == {"OK"}
    assert _restarted_no_more(served, found)


def _restarted_no_more(checkout: Checkout, replica: Replica) -> bool:
    (found,) = [one for one in replicas(checkout) if one.uid == replica.uid]
    return found == replica and SERVER in found.processes()
