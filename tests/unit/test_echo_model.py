"""The sample model's pace, bounds and switches, on a clock of the test's own.

Triton itself is not here: that it loads the model and answers is shown on the cluster that serves.
"""

import importlib.util
import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from config.base import PROJECT_FOLDER

SERVICE_SECONDS = 0.02
OVERHEAD_SECONDS = 0.005
"""Time that the host takes beside each sleep."""

PATIENCE_SECONDS = 30


class Clock:
    """Time passes by sleeping, and a little more than was asked for."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + OVERHEAD_SECONDS


class StoppedClock(Clock):
    """A stand-in clock: a sleeper sleeps until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Semaphore(0)
        self.awake = threading.Event()

    def sleep(self, seconds: float) -> None:
        del seconds
        self.asleep.release()
        assert self.awake.wait(PATIENCE_SECONDS)

    def wait_for_sleeper(self) -> None:
        assert self.asleep.acquire(timeout=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Answer:
    """End of one call."""

    at: float
    call: int
    error: Any


class HungError(Exception):
    """Somebody waits for ever."""


class Forever:
    """Stands for an event that never comes."""

    def wait(self) -> None:
        raise HungError


class Sender:
    """Takes the answer of one call."""

    def __init__(self, model: "Model", call: int, cancelled: bool) -> None:
        self.model, self.call, self.cancelled = model, call, cancelled
        self.failed, self.ended, self.error = False, False, None

    def is_cancelled(self) -> bool:
        return self.cancelled

    def send(self, response: Any = None, flags: int = 0) -> None:
        """Take an answer, an error or the end; after a failed answer the end alone, as Triton."""
        if self.failed and response:
            raise RuntimeError("cannot send more than one response")
        if response and not response.error and self.model.room_bytes < response.size_bytes:
            self.failed = True
            # Triton's sender is closed by a flag that it took, whatever came of the answer.
            self.ended = flags == 1
            raise RuntimeError("failed to increase the shared memory pool size")
        if response:
            self.error = response.error
        if flags == 1:
            assert not self.ended
            self.ended = True
            error = "no answer" if self.failed else self.error
            self.model.answered.put(Answer(self.model.clock.now - 100.0, self.call, error))


class Model:
    """The model, loaded with some parameters."""

    def __init__(self, module: Any, clock: Clock, **stated: str) -> None:
        self.clock, self.answered = clock, queue.Queue[Answer]()
        self.room_bytes = 1_000_000
        """Room in shared memory for an answer."""
        self._calls = 0
        module.time = clock
        every = {
            "service_time_seconds": str(SERVICE_SECONDS),
            "failure_rate": "0",
            "hang": "false",
            "queue_size": "10",
            "parallelism": "1",
            **stated,
        }
        parameters = {name: {"string_value": value} for name, value in every.items()}
        self._model = module.TritonPythonModel()
        self._model.initialize({"model_config": json.dumps({"parameters": parameters})})

    def call(self, *cancelled: bool, text: Any = b"x", name: str = "") -> None:
        """Make calls at once, given up or not, with the same text and request id."""
        senders = [Sender(self, self._calls + i, gone) for i, gone in enumerate(cancelled)]
        self._calls += len(senders)
        self._model.execute(
            [
                SimpleNamespace(
                    get_response_sender=lambda s=s: s, request_id=lambda: name, text=text
                )
                for s in senders
            ]
        )

    def answers(self, count: int) -> list[Answer]:
        """The next ones."""
        return [self.answered.get(timeout=PATIENCE_SECONDS) for _ in range(count)]


def _response(output_tensors: Any, error: Any = None) -> SimpleNamespace:
    size_bytes = sum(len(text) for tensor in output_tensors for text in tensor.flat)
    return SimpleNamespace(error=error, size_bytes=size_bytes)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Model]]:
    """Loads the model, with a clock and with parameters that differ from an idle sample's."""
    backend: Any = ModuleType("triton_python_backend_utils")
    backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    backend.TritonError = lambda text, code: (code, text)
    backend.TritonError.CANCELLED = "CANCELLED"
    backend.TritonError.INTERNAL = "INTERNAL"
    backend.TritonError.UNAVAILABLE = "UNAVAILABLE"
    backend.InferenceResponse = _response
    backend.Tensor = lambda _, text: text
    backend.get_input_tensor_by_name = lambda request, _: SimpleNamespace(
        as_numpy=lambda: SimpleNamespace(flat=[request.text])
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)
    spec = importlib.util.spec_from_file_location(
        "echo_model", PROJECT_FOLDER / "models/echo/1/model.py"
    )
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.threading = SimpleNamespace(Thread=threading.Thread, Event=Forever)
    clocks: list[Clock] = []

    def load(clock: Clock | None = None, **stated: str) -> Model:
        clocks.append(clock or Clock())
        return Model(module, clocks[-1], **stated)

    yield load
    for clock in clocks:
        if isinstance(clock, StoppedClock):
            clock.awake.set()


Load = Callable[..., Model]


def test_a_backlog_is_worked_off_at_the_stated_rate_whatever_the_host_takes(load: Load) -> None:
    """Late by the host's overhead, but not by one more for each call before it."""
    model = load()
    model.call(*[False] * 10)
    expected = [SERVICE_SECONDS * number + OVERHEAD_SECONDS for number in range(1, 11)]
    assert [answer.at for answer in model.answers(10)] == pytest.approx(expected)


def test_a_call_that_was_given_up_takes_none_of_the_devices_time(load: Load) -> None:
    model = load()
    model.call(False, True, True, False)
    last = model.answers(4)[-1]
    assert last.at == pytest.approx(2 * SERVICE_SECONDS + OVERHEAD_SECONDS)


@pytest.mark.parametrize("parallelism", [1, 3])
def test_as_many_calls_are_worked_on_at_once_as_is_stated(load: Load, parallelism: int) -> None:
    """One more waits; it is the next that is worked on."""
    clock = StoppedClock()
    model = load(clock, parallelism=str(parallelism), queue_size="9")
    model.call(*[False] * (parallelism + 1))
    for _ in range(parallelism):
        clock.wait_for_sleeper()
    assert model.answered.empty()
    assert not clock.asleep.acquire(timeout=0.1)
    clock.awake.set()
    clock.wait_for_sleeper()
    assert {answer.error for answer in model.answers(parallelism + 1)} == {None}


def test_one_call_more_than_may_wait_is_refused_at_once(load: Load) -> None:
    clock = StoppedClock()
    model = load(clock, queue_size="2")
    model.call(False)
    clock.wait_for_sleeper()
    model.call(False, False, False)
    [refused] = model.answers(1)
    assert (refused.call, refused.error) == (3, ("UNAVAILABLE", "Exceeds maximum queue size"))
    clock.awake.set()
    assert {(a.call, a.error) for a in model.answers(3)} == {(0, None), (1, None), (2, None)}


@pytest.mark.parametrize(("drawn", "fails"), [(0.25, True), (0.75, False)])
def test_the_stated_share_of_calls_fails_after_its_time_with_the_device(
    load: Load, monkeypatch: pytest.MonkeyPatch, drawn: float, fails: bool
) -> None:
    """By what chance draws from 0 to 1. Not shown: that it draws evenly."""
    monkeypatch.setattr("random.random", lambda: drawn)
    model = load(failure_rate="0.5")
    model.call(False)
    [answer] = model.answers(1)
    assert answer.error == (("INTERNAL", "failed on purpose") if fails else None)
    assert answer.at == pytest.approx(SERVICE_SECONDS + OVERHEAD_SECONDS)


def test_a_model_that_is_to_hang_answers_nothing(load: Load) -> None:
    """Not shown: that Triton's health and readiness stay good meanwhile."""
    model = load(hang="true")
    with pytest.raises(HungError):
        model.call(False)
    assert model.answered.empty()


@pytest.mark.parametrize("name", ["failure_rate", "parallelism", "queue_size"])
def test_a_malformed_parameter_fails_the_load(load: Load, name: str) -> None:
    with pytest.raises(ValueError, match="many"):
        load(**{name: "many"})


@pytest.mark.parametrize("text", [None, 7], ids=str)
def test_an_exception_in_the_worker_fails_its_call_and_no_other(load: Load, text: Any) -> None:
    model = load()
    model.call(False, text=text)
    [(code, says)] = [answer.error for answer in model.answers(1)]
    assert code == "INTERNAL"
    assert "TypeError" in says
    model.call(False)
    assert [answer.error for answer in model.answers(1)] == [None]


def test_an_answer_too_large_for_shared_memory_ends_its_call_and_no_other(load: Load) -> None:
    """Shown on the serving cluster: Triton makes INTERNAL of an end without an answer."""
    model = load()
    model.call(False, text=b"x" * (model.room_bytes + 1))
    model.call(False)
    assert [answer.error for answer in model.answers(2)] == ["no answer", None]


def test_a_worker_outlives_a_call_that_takes_no_answer_at_all(load: Load) -> None:
    """A small answer does not fit either: its call stays until its deadline."""
    model = load()
    model.room_bytes = 0
    model.call(False)
    model.call(True)
    [answer] = model.answers(1)
    assert (answer.call, answer.error[0]) == (1, "CANCELLED")


def test_a_full_queue_takes_the_watchdogs_inference_which_waits_its_turn(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_UID", "the-pods-uid")
    clock = StoppedClock()
    model = load(clock, queue_size="1")
    model.call(False)
    clock.wait_for_sleeper()
    model.call(False)
    model.call(False, name="the-pods-uid")
    assert model.answered.empty()
    clock.awake.set()
    assert [(a.call, a.error) for a in model.answers(3)] == [(0, None), (1, None), (2, None)]
