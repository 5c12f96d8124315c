"""One gRPC connection and what became of every call on it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from tests.envoy.harness.backend import INFER, STREAM
from tests.envoy.harness.waiting import wait_until


@dataclass(frozen=True)
class CallEnd:
    """End of one call."""

    code: grpc.StatusCode
    details: str
    overloaded: bool
    limited: bool
    by_caller: bool
    seconds: float


def _outcome(call: grpc.Future, started: float) -> CallEnd:
    metadata = {**dict(call.initial_metadata() or ()), **dict(call.trailing_metadata() or ())}
    return CallEnd(
        code=call.code(),
        details=call.details() or "",
        overloaded=metadata.get("x-envoy-overloaded") == "true",
        limited=metadata.get("x-envoy-ratelimited") == "true",
        # Envoy signs whatever comes through it; what the caller's own timer ends has no metadata.
        by_caller=metadata.get("server") != "envoy",
        seconds=time.monotonic() - started,
    )


class GrpcClient:
    """A channel of exactly one connection."""

    def __init__(
        self,
        port: int,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        **options: int | str,
    ) -> None:
        address = f"127.0.0.1:{port}"
        arguments = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 200),
            *((f"grpc.{name}", value) for name, value in options.items()),
        ]
        if credentials:
            self.channel = grpc.secure_channel(address, credentials, arguments)
        else:
            self.channel = grpc.insecure_channel(address, arguments)
        self._infer = self.channel.unary_unary(INFER)
        self._stream = self.channel.stream_stream(STREAM)

    def __enter__(self) -> "GrpcClient":
        grpc.channel_ready_future(self.channel).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def stream(self, requests: Iterator[bytes], timeout_seconds: float | None = None) -> Any:
        """Open a bidirectional stream; iterate over it for the answers."""
        return self._stream(requests, timeout=timeout_seconds)

    def start(
        self,
        count: int,
        timeout_seconds: float | None = None,
        window: int | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
        payload: bytes = b"tensor",
    ) -> "Batch":
        """Make calls, at most `window` in flight at once; returns once all are issued."""
        batch = Batch(count, window or count)
        for _ in range(count):
            batch.room.acquire()
            started = time.monotonic()
            call = self._infer.future(payload, timeout=timeout_seconds, metadata=metadata)
            batch.calls.append(call)
            call.add_done_callback(lambda done, started=started: batch.end(done, started))
        return batch

    def calls(self, count: int, timeout_seconds: float | None = 20.0, **how) -> list[CallEnd]:
        """Make calls and wait for the end of each; arguments as for `start`."""
        return self.start(count, timeout_seconds, **how).wait()

    def call(self, timeout_seconds: float | None = 20.0, **how) -> CallEnd:
        """Make one call."""
        return self.calls(1, timeout_seconds, **how)[0]


class Batch:
    """Calls under way."""

    def __init__(self, count: int, window: int) -> None:
        self.count = count
        self.calls: list[grpc.Future] = []
        self.outcomes: list[CallEnd] = []
        self.room = threading.Semaphore(window)
        self._lock = threading.Lock()

    def end(self, call: grpc.Future, started: float) -> None:
        outcome = _outcome(call, started)
        with self._lock:
            self.outcomes.append(outcome)
        self.room.release()

    @property
    def codes(self) -> Counter[str]:
        """Return the number of calls that have ended so far, by status."""
        with self._lock:
            return Counter(outcome.code.name for outcome in self.outcomes)

    def cancel(self) -> None:
        """Let the caller give up on every call."""
        for call in self.calls:
            call.cancel()

    def wait(self) -> list[CallEnd]:
        """Outcomes of all calls, once each has one."""
        wait_until(f"{self.count} calls end", lambda: len(self.outcomes) == self.count, 60)
        return self.outcomes


def codes(outcomes: list[CallEnd]) -> Counter[str]:
    """Return the number of calls that ended, by status."""
    return Counter(outcome.code.name for outcome in outcomes)
