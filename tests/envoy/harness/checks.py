"""A replica whose health checks are answered one by one, when a test says so."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.envoy.harness.backend import health_answer
from tests.envoy.harness.bed import Bed
from tests.envoy.harness.waiting import wait_until


class Checks:
    """The checks that the gateway makes of it; one is always waiting for its answer."""

    def __init__(self) -> None:
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._asked = 0
        self._given = 0

    def serve(self, listener: socket.socket) -> None:
        """Read checks, and answer each as told, until the listener is shut down."""
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while client.recv(4096):
                self._asked += 1
                if not (answer := self._answers.get()):
                    return
                client.sendall(answer)

    def answer(self, *, serving: bool) -> None:
        """Tell in one answer whether the replica takes calls."""
        self._answer(health_answer(serving=serving))

    def hang_up(self) -> None:
        """Close one's connection without an answer."""
        self._answer(b"")

    def _answer(self, answer: bytes) -> None:
        """Answer one; returns once the gateway has acted on it, and asks again."""
        self._answers.put(answer)
        self._given += 1
        wait_until("the next check", lambda: self._asked == self._given + 1)


@contextmanager
def by_hand(bed: Bed) -> Iterator[Checks]:
    """Let a bed's first replica, which it does not list yet, join and wait for answers."""
    replica = bed.fleet.replicas[0]
    bed.fleet.stop(replica)
    checks = Checks()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((replica.host, bed.fleet.health_port))
        listener.listen()
        threading.Thread(target=checks.serve, args=(listener,), daemon=True).start()
        bed.dns.hosts = [replica.host]
        try:
            yield checks
        finally:
            listener.shutdown(socket.SHUT_RDWR)
