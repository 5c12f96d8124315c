"""A containerd of the user's, on the machine itself, beside the one in the node's box."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local_cluster.paths import Paths
from local_cluster.serving.node import Node
from tests.envoy.harness.waiting import wait_until


@dataclass(frozen=True)
class Containerd:
    """One that runs, with a folder of its own for all that it keeps."""

    process: "subprocess.Popen[bytes]"
    programs: Path
    socket: Path

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator[Self]:
        """Start the program that the node runs, too, and end it."""
        programs = Node(paths=Paths(folder), report=print).debian / "usr/bin"
        socket, config = folder / "containerd.sock", folder / "containerd.toml"
        config.write_text(
            f"""\
version = 2
root = "{folder}/root"
state = "{folder}/state"
# Pods, and a folder in /opt: neither is wanted here.
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
address = "{socket}"
"""
        )
        log = folder / "containerd.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "containerd", f"--config={config}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            found = cls(process, programs, socket)
            wait_until(f"a containerd of the user's answers, see {log}", found.answers)
            yield found
        finally:
            process.terminate()
            process.wait()

    def answers(self) -> bool:
        """Return True if it runs and answers at its socket."""
        asked = subprocess.run(
            [self.programs / "ctr", f"--address={self.socket}", "version"],
            capture_output=True,
            text=True,
        )
        return self.process.poll() is None and "Server:" in asked.stdout
