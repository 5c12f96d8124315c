"""A real Prometheus on loopback that asks for a password."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster import toolchain
from tests.envoy.harness.waiting import free_ports, wait_until

USER, PASSWORD = "keda", "right"
_HASHED = "$2b$05$0OQ4F4k1kqLvAG36a3Cqe.GC.3fzeyiM7aCkeA2srNk4chhHKokkq"
"""The password as Prometheus's web configuration takes it (bcrypt)."""


@contextmanager
def running(command: list[str | Path], log: Path, **environment: str) -> Iterator[None]:
    """Run a command until the end, where it must still run."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output
        )
        try:
            yield
            assert process.poll() is None, log.read_text()[-2000:]
        finally:
            process.kill()
            process.wait()


@contextmanager
def asking_prometheus(folder: Path) -> Iterator[str]:
    """Yield the address of a Prometheus that is ready."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    (folder / "prometheus.yml").write_text("{}")
    (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {USER: _HASHED}}))
    command: list[str | Path] = [
        toolchain.ensure("prometheus")["prometheus"],
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, address, USER, PASSWORD, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))

    def ready() -> bool:
        try:
            return opener.open(f"{address}/-/ready").status == 200
        except OSError:
            return False

    with running(command, folder / "log"):
        wait_until("Prometheus is ready", ready)
        yield address
