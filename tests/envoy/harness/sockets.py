"""Options of another process's sockets, as the kernel has them."""

import ctypes
import os
import socket

import psutil

_PIDFD_GETFD = 438  # Linux 5.6+, every architecture


def connections_to(pid: int, host: str, port: int) -> list[socket.socket]:
    """Copies of a process's established connections to an address."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: list[socket.socket] = []
    pidfd = os.pidfd_open(pid)
    try:
        for connection in psutil.Process(pid).net_connections("tcp4"):
            if connection.raddr == (host, port) and connection.status == psutil.CONN_ESTABLISHED:
                fd = libc.syscall(_PIDFD_GETFD, pidfd, connection.fd, 0)
                if fd < 0:
                    raise OSError(ctypes.get_errno(), "pidfd_getfd")
                found.append(socket.socket(fileno=fd))
    finally:
        os.close(pidfd)
    return found
