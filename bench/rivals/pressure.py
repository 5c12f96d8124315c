"""Pressure on a gateway's CPU, and the CPU that it uses."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from local_cluster.serving import cgroups

_CGROUP = f"kubemind-bench-{os.getpid()}"
_PERIOD_MICROSECONDS = 100_000
_QUOTA_CORES = 0.5


class Pressure(StrEnum):
    """A kind of pressure."""

    QUIET = "quiet"
    COLD = "cold start"
    """The gateway has served no call before the load."""
    BUSY = "busy core"
    """A process of equal priority spins on the gateway's core."""
    QUOTA = "half a core"
    """The kernel gives the gateway half a core, as a CPU limit of 500m does."""

    @property
    def is_for_all(self) -> bool:
        """True if it is nothing that happens to a gateway."""
        return self is Pressure.QUIET


@contextmanager
def pressed(pressure: Pressure, process: "subprocess.Popen[bytes] | None") -> Generator[None]:
    """Put a gateway under pressure for the block; nothing happens without a gateway.

    Args:
        pressure: The kind.
        process: The gateway's main process.
    """
    if process is None or pressure in (Pressure.QUIET, Pressure.COLD):
        yield
        return
    members = tree(process)
    if pressure is Pressure.QUOTA:
        with quota([one.pid for one in members], _QUOTA_CORES):
            yield
        return
    threads = [thread.id for one in members for thread in one.threads()]
    core = max(os.sched_getaffinity(0))
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for number in (*threads, spinner.pid):
            os.sched_setaffinity(number, {core})
        yield
    finally:
        spinner.kill()
        spinner.wait()


def tree(process: "subprocess.Popen[Any]") -> list[psutil.Process]:
    """Return a process and those that it has started."""
    main = psutil.Process(process.pid)
    return [main, *main.children(recursive=True)]


def cpu_seconds(process: "subprocess.Popen[bytes] | None") -> float:
    """Return the CPU seconds of a gateway's processes so far; 0 without a gateway."""
    if process is None:
        return 0.0
    times = [one.cpu_times() for one in tree(process)]
    return sum(spent.user + spent.system for spent in times)


@contextmanager
def quota(members: list[int], cores: float) -> Generator[None]:
    """Limit processes to a share of a core for the block, by either version of cgroups.

    Args:
        members: Their ids.
        cores: Cores that they share.

    Raises:
        OSError: The machine has no cgroup controller for CPU, or the caller is not root.
    """
    cgroups.make(_CGROUP)
    microseconds = int(cores * _PERIOD_MICROSECONDS)
    entered: list[Path] = []
    try:
        for hierarchy in cgroups.hierarchies():
            folder = hierarchy / _CGROUP / "node"
            one, two = folder / "cpu.cfs_quota_us", folder / "cpu.max"
            if one.exists():
                one.write_text(str(microseconds))
            elif two.exists():
                two.write_text(f"{microseconds} {_PERIOD_MICROSECONDS}")
            else:
                continue
            entered.append(hierarchy)
            for member in members:
                (folder / "cgroup.procs").write_text(str(member))
        if not entered:
            raise OSError("the machine has no cgroup controller for CPU")
        yield
    finally:
        for hierarchy in entered:
            for member in members:
                if Path(f"/proc/{member}").exists():
                    (hierarchy / "cgroup.procs").write_text(str(member))
        cgroups.remove(_CGROUP)
