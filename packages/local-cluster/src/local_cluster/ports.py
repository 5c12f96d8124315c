"""Loopback ports of a cluster, chosen at its creation and kept."""

import hashlib
import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

FIRST, LAST = 20_000, 29_999
"""Range of ports. It lies below Linux's ephemeral ports (from 32768) and NodePorts (from 30000), so
that no other connection takes a port by chance while the cluster is down."""

_DYING_SECONDS = 1.0

ROLES = (
    "etcdPort",
    "etcdPeerPort",
    "kubeApiserverPort",
    "kubeControllerManagerPort",
    "kubeSchedulerPort",
    "kwokControllerPort",
)
"""Listeners, by the name of kwokctl's option."""


def choose(
    root: Path, kept: Mapping[str, int] | None = None, further: Sequence[str] = ()
) -> dict[str, int]:
    """Return a free port for every role.

    Args:
        root: Folder of the cluster; the search begins at a port that depends on it.
        kept: Ports of an earlier start, which are used again if they are free.
        further: Roles beside those of kwokctl.

    Raises:
        OSError: No port is free.
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
    """Tell whether a port is free, or becomes free soon: a killed process may still hold it."""
    deadline = time.monotonic() + _DYING_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_free(port: int) -> bool:
    """Tell whether a process could listen on a loopback port now."""
    with socket.socket() as listener:
        # As Go's listeners do; a connection in TIME_WAIT then does not hold the port.
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
    """Return the URL of a cluster's API server."""
    return f"https://127.0.0.1:{ports['kubeApiserverPort']}"
