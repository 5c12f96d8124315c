"""Watch a condition instead of sleeping."""

import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(what: str, condition: Callable[[], T], timeout_seconds: float = 30.0) -> T:
    """Return the condition's first true value; fail with `what` when it stays false."""
    end = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what}; last seen {value!r}")
        time.sleep(0.02)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nothing listens on, on TCP and UDP alike.

    Below the range from which the kernel takes outgoing connections' ports: nothing but another
    listener can come between.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        if port not in ports and all(_is_free(kind, host, port) for kind in _KINDS):
            ports.append(port)
    return ports


_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(type=kind) as sock:
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True
