"""First process of the node's namespaces; when it ends, the kernel ends all processes in them.

A bare interpreter runs it: standard library only. Its one argument is a JSON file, which
`local_cluster.serving.files` writes.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_LOOK_SECONDS = 0.02


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def lay_out_mounts(plan: dict[str, Any]) -> None:
    """Give the node /run, /var/lib and /var/log of its own, and the sysctls that kubelet wants."""
    home, outside = plan["home"], plan["node"]
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "node", "/run")
    Path(home).mkdir()
    _run("mount", "--bind", outside, home)
    # kubelet writes to /var/lib/kubelet, even if its folder is another.
    scratch = Path("/run/var-lib")
    for name in ("upper", "work"):
        (scratch / name).mkdir(parents=True)
    layers = f"lowerdir=/var/lib,upperdir={scratch}/upper,workdir={scratch}/work"
    _run("mount", "-t", "overlay", "-o", layers, "node", "/var/lib")
    _run("mount", "--bind", plan["var_log"], "/var/log")
    # kubelet sets these if they differ. Here it finds the values that it wants, and the machine
    # keeps its own.
    for index, (name, value) in enumerate(plan["sysctls"].items()):
        real = Path("/proc/sys", name)
        if real.exists():
            stand_in = Path(f"/run/sysctl-{index}")
            stand_in.write_text(f"{value}\n")
            _run("mount", "--bind", str(stand_in), str(real))


def lay_out_network(plan: dict[str, Any]) -> None:
    """Add an address and a default route, on an interface pair that leads nowhere else."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "name", "node0", "type", "veth", "peer", "name", "node1")
    for name in ("node0", "node1"):
        _run("ip", "link", "set", name, "up")
    _run("ip", "address", "add", plan["address"], "dev", "node0")
    _run("ip", "route", "add", "default", "via", plan["gateway"], "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def enter_cgroups(plan: dict[str, Any]) -> None:
    """Enter the node's own cgroups, which later processes inherit."""
    for procs in plan["cgroups"]:
        Path(procs).write_text("0")


def start(name: str, plan: dict[str, Any]) -> int:
    """Start one of the plan's services; return its process id."""
    service = plan["services"][name]
    with Path(plan["logs"], f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            service["command"],
            env=service["environment"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ).pid


def wait_for(file: Path, services: dict[int, str]) -> None:
    """Wait until a file exists; exit if a service ends."""
    while not file.exists():
        reap(services, os.WNOHANG)
        time.sleep(_LOOK_SECONDS)


def reap(services: dict[int, str], options: int = 0) -> None:
    """Reap ended processes; exit if one of them is a service."""
    while True:
        try:
            ended, status = os.waitpid(-1, options)
        except ChildProcessError:
            return
        if not ended:
            return
        if ended in services:
            sys.exit(f"{services[ended]} ended, {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    """Lay out the node, start its services, and reap processes until one of them ends."""
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    enter_cgroups(plan)
    lay_out_mounts(plan)
    lay_out_network(plan)
    services = {start("containerd", plan): "containerd"}
    Path(plan["ready"]).touch()
    wait_for(Path(plan["join"]), services)
    for name in ("kubelet", "kube-proxy"):
        services[start(name, plan)] = name
    reap(services)


if __name__ == "__main__":
    main()
