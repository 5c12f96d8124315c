"""Runs of the local cluster in processes of their own, and what they leave."""

import subprocess
import sys
from pathlib import Path

import psutil

from config.base import PROJECT_FOLDER
from local_cluster import processes
from local_cluster.cluster import Cluster

UP = """
import sys
from pathlib import Path
from config.base import PROJECT_FOLDER
from config.settings import Settings
from local_cluster.cluster import Cluster
from ops.stack.cluster_spec import cluster_spec
print(Cluster(Path(sys.argv[1])).up(cluster_spec(Settings())).cluster_id)
"""


def start_up(state: Path) -> "subprocess.Popen[str]":
    """`up` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", UP, str(state)],
        cwd=PROJECT_FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(cluster: Cluster, *names: str) -> None:
    """SIGKILL components, all of them where none is named, and wait until they are gone."""
    for name, number in cluster.components().items():
        if number and (not names or name in names):
            process = psutil.Process(number)
            process.kill()
            process.wait(timeout=30)


def runs_once(cluster: Cluster) -> bool:
    found = processes.find(cluster.paths.root)
    return set(found) == set(cluster.components()) and all(len(p) == 1 for p in found.values())
