"""Ways to an API server that a kubeconfig can state: through a proxy, by a credential plug-in."""

import base64
import json
import socket
import stat
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.integration.preflights import Kubeconfig

API = {"apiVersion": "client.authentication.k8s.io/v1"}


class HttpProxy:
    """An HTTP proxy that opens tunnels (CONNECT) to one API server, whatever name is asked for."""

    NAME = "api.example.invalid:443"

    def __init__(self, document: Kubeconfig) -> None:
        """Take the kubeconfig of the API server."""
        (named,) = document["clusters"]
        address = urlsplit(named["cluster"]["server"])
        self._server = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.asked_for: set[str] = set()
        """Names that callers asked for."""
        cluster = {
            **named["cluster"],
            "server": f"https://{self.NAME.removesuffix(':443')}",
            "proxy-url": f"http://127.0.0.1:{self._listener.getsockname()[1]}",
            "tls-server-name": address.hostname,
        }
        self.document: Kubeconfig = {**document, "clusters": [{**named, "cluster": cluster}]}
        """The same kubeconfig, for a way through the proxy."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing alone would not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(caller,), daemon=True).start()

    def _tunnel(self, caller: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += caller.recv(4096)
        self.asked_for.add(head.split()[1].decode())
        server = socket.create_connection(self._server)
        caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(server, caller), daemon=True).start()
        _pump(caller, server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def credential_command(folder: Path, body: str) -> dict[str, Any]:
    """A kubeconfig's user whose credentials a script hands out."""
    command = folder / "credentials"
    command.write_text(f"#!{sys.executable}\n{body}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            **API,
            "command": str(command),
            "interactiveMode": "Never",
            "installHint": "see the manual",
        }
    }


def handing_out(**status: str) -> str:
    """Body of a credential command."""
    credential = {**API, "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(json.dumps(credential))})"


def credential_plugin(folder: Path, document: Kubeconfig) -> dict[str, Any]:
    """The same user, with the client certificate handed out by a plug-in."""
    (named,) = document["users"]
    held = {key: base64.b64decode(value).decode() for key, value in named["user"].items()}
    return credential_command(
        folder,
        handing_out(
            clientCertificateData=held["client-certificate-data"],
            clientKeyData=held["client-key-data"],
        ),
    )
