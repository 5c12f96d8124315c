"""One bidirectional stream that sends now and then, read in the background."""

import threading
import time
from collections.abc import Iterator

import grpc

from tests.envoy.harness.client import GrpcClient


class Stream:
    """Sends a message each `pause_seconds`, `messages` of them, and counts the answers."""

    def __init__(
        self,
        client: GrpcClient,
        pause_seconds: float,
        timeout_seconds: float | None = None,
        messages: int = 10_000,
    ) -> None:
        self.pause_seconds = pause_seconds
        self.messages = messages
        self.received = 0
        self.seconds = 0.0
        self._started = time.monotonic()
        self._over = threading.Event()
        self.call = client.stream(self._requests(), timeout_seconds)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _requests(self) -> Iterator[bytes]:
        for _ in range(self.messages):
            yield b"token"
            if self._over.wait(self.pause_seconds):
                return

    def _read(self) -> None:
        try:
            for _ in self.call:
                self.received += 1
        except grpc.RpcError:
            pass  # The status is on the call.
        self.seconds = time.monotonic() - self._started
        self._over.set()

    @property
    def ended(self) -> bool:
        return not self._reader.is_alive()

    def end(self) -> None:
        """Give up on it, if it has not ended."""
        self._over.set()
        self.call.cancel()
        self._reader.join()
