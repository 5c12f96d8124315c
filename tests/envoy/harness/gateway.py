"""A real Envoy process with the product's own bootstrap."""

import http.client
import json
import os
import re
import subprocess
from pathlib import Path
from types import TracebackType

from components.gateway.envoy.bootstrap import arguments
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.validate import envoy_path
from config.sections.inference import InferenceStack
from tests.envoy.harness.waiting import wait_until

LOOPBACK = "127.0.0.1"


class Gateway:
    """One running Envoy; a context manager that ends it."""

    def __init__(self, stack: InferenceStack, config: Json, folder: Path) -> None:
        self.stack = stack
        self.port = stack.gateway.port
        self._log = folder / f"envoy-{self.port}.log"
        self._output = folder / f"envoy-{self.port}.out"
        path = folder / f"envoy-{self.port}.json"
        path.write_text(json.dumps(config))
        # Envoy opens the output by itself, too, to append to it.
        with self._log.open("wb") as log, self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [envoy_path(), *arguments(str(path)), "--file-flush-interval-msec", "50"],
                stdout=output,
                stderr=log,
                # What a pod's resolv.conf says, as c-ares reads it from the environment.
                env={**os.environ, "LOCALDOMAIN": "svc.cluster.local", "RES_OPTIONS": "ndots:5"},
            )

    def __enter__(self) -> "Gateway":
        try:
            wait_until("Envoy is ready", self._ready)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self.stop()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def access_log(self) -> list[Json]:
        """Lines of the access log so far; Envoy writes them 50 ms late here, in pods 10 s."""
        return [json.loads(line) for line in self._output.read_text().splitlines()]

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended with {self.process.returncode}")
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def get(self, path: str, method: str = "GET", port: int | None = None) -> tuple[int, str]:
        """Ask admin, or another port; (status, body)."""
        connection = http.client.HTTPConnection(
            LOOPBACK, port or self.stack.gateway.admin_port, timeout=10
        )
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        """One counter or gauge by its full name; 0 while Envoy has not made it."""
        _, text = self.get(f"/stats?filter=^{re.escape(name)}$")
        return int(text.split(": ")[1]) if text.strip() else 0

    def cluster_stat(self, name: str) -> int:
        return self.stat(f"cluster.{self.stack.envoy_cluster}.{name}")

    def downstream_stat(self, name: str) -> int:
        return self.stat(f"http.grpc_router.{name}")

    def healthy_hosts(self) -> int:
        return self.cluster_stat("membership_healthy")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
