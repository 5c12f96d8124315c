"""Loopback ports of a cluster: chosen once, then kept."""

import hashlib
import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

FIRST, LAST = 20_000, 29_999
"""Below what Linux hands out to outgoing connections (32768 on) and what NodePorts use (30000 on),
so that a kept port is not taken in passing while the cluster is down."""

_DYING_SECONDS = 1.0

ROLES = (
    "etcdPort",
    "etcdPeerPort",
    "kubeApiserverPort",
    "kubeControllerManagerPort",
    "kubeSchedulerPort",
    "kwokControllerPort",
)
"""What listens, by the name of kwokctl's option."""


def choose(
    root: Path, kept: Mapping[str, int] | None = None, further: Sequence[str] = ()
) -> dict[str, int]:
    """A free port for every role.

    Args:
        root: the cluster's folder; clusters in different folders begin to look at different ports.
        kept: ports of an earlier start, kept where they are still free.
        further: roles beside kwokctl's.

    Raises:
        OSError: no port is free.
    """
    roles = (*ROLES, *further)
    chosen = {role: port for role, port in (kept or {}).items() if role in roles and _frees(port)}
    candidates = (port for port in _from(root) if port not in chosen.values() and is_free(port))
    for role in roles:
        if role not in chosen:
            port = next(candidates, None)
            if port is None:
                raise OSError(f"no port from {FIRST} to {LAST} is free on 127.0.0.1")
            chosen[role] = port
    return chosen


def _frees(port: int) -> bool:
    """Whether a port is free, or soon: a process that somebody just killed holds it still."""
    deadline = time.monotonic() + _DYING_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_free(port: int) -> bool:
    """Whether a process could listen on a loopback port now."""
    with socket.socket() as listener:
        # As Go's listeners do: a connection in TIME_WAIT does not hold the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            return False
    return True


def _from(root: Path) -> Iterator[int]:
    ports = range(FIRST, LAST + 1)
    start = int.from_bytes(hashlib.sha256(str(root).encode()).digest()[:8]) % len(ports)
    return itertools.chain(ports[start:], ports[:start])


def api_address(ports: Mapping[str, int]) -> str:
    """URL of the API server that listens on a cluster's ports."""
    return f"https://127.0.0.1:{ports['kubeApiserverPort']}"
