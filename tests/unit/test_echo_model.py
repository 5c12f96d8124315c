"""The sample model's pace, on a clock of the test's own.

Triton itself is not here: that it loads the model and answers is shown on the cluster that serves.
"""

import importlib.util
import json
import queue
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from config.base import PROJECT_FOLDER

SERVICE_SECONDS = 0.02
OVERHEAD_SECONDS = 0.005
"""What the host takes beside each sleep."""


class Clock:
    """Time passes by sleeping, and a little more than was asked for."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + OVERHEAD_SECONDS


class Sender:
    """Takes the answer of one call."""

    def __init__(self, clock: Clock, answered: "queue.Queue[float]", cancelled: bool) -> None:
        self.clock, self.answered, self.cancelled = clock, answered, cancelled

    def is_cancelled(self) -> bool:
        return self.cancelled

    def send(self, *_: object, **__: object) -> None:
        self.answered.put(self.clock.now)


@pytest.fixture
def served_at(monkeypatch: pytest.MonkeyPatch):
    """Asks the model for some calls at once; says when each was answered, from their arrival."""
    backend: Any = ModuleType("triton_python_backend_utils")
    backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    backend.TritonError = type("TritonError", (), {"CANCELLED": 1, "__init__": lambda *_: None})
    backend.InferenceResponse = backend.Tensor = lambda *_, **__: None
    backend.get_input_tensor_by_name = lambda *_: SimpleNamespace(as_numpy=lambda: None)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)
    spec = importlib.util.spec_from_file_location(
        "echo_model", PROJECT_FOLDER / "models/echo/1/model.py"
    )
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def ask(cancelled: list[bool]) -> list[float]:
        clock, answered = Clock(), queue.Queue[float]()
        module.time = clock
        stated = {
            "service_time_seconds": str(SERVICE_SECONDS),
            "failure_rate": "0",
            "hang": "false",
            "queue_size": str(len(cancelled)),
            "parallelism": "1",
        }
        parameters = {name: {"string_value": value} for name, value in stated.items()}
        model = module.TritonPythonModel()
        model.initialize({"model_config": json.dumps({"parameters": parameters})})
        senders = [Sender(clock, answered, gone) for gone in cancelled]
        model.execute([SimpleNamespace(get_response_sender=lambda s=s: s) for s in senders])
        return [answered.get(timeout=30) - 100.0 for _ in senders]

    return ask


def test_a_backlog_is_worked_off_at_the_stated_rate_whatever_the_host_takes(served_at: Any) -> None:
    """Late by the host's overhead, but not by one more for each call before it."""
    times = served_at([False] * 10)
    expected = [SERVICE_SECONDS * number + OVERHEAD_SECONDS for number in range(1, 11)]
    assert times == pytest.approx(expected)


def test_a_call_that_was_given_up_takes_none_of_the_devices_time(served_at: Any) -> None:
    times = served_at([False, True, True, False])
    assert times[-1] == pytest.approx(2 * SERVICE_SECONDS + OVERHEAD_SECONDS)
