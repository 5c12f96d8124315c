"""Calls that go on while something else happens."""

import threading
from dataclasses import dataclass, field

from tests.envoy.harness.client import CallEnd, GrpcClient
from tests.envoy.harness.waiting import wait_until


@dataclass
class SteadyCalls:
    """Calls on one channel, without a pause, until the block ends."""

    client: GrpcClient
    metadata: tuple[tuple[str, str], ...] = ()
    outcomes: list[CallEnd] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "SteadyCalls":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until("calls are made", lambda: self.outcomes)
        return self

    def _run(self) -> None:
        while not self._over.is_set():
            self.outcomes.extend(self.client.calls(50, window=10, metadata=self.metadata))

    def more(self) -> None:
        """Wait for calls that began after this moment."""
        seen = len(self.outcomes)
        wait_until("more calls are made", lambda: len(self.outcomes) > seen + 100)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
