"""Command of Triton's container: the steps before and around the server."""

import json
from collections.abc import Sequence
from pathlib import Path

from components.common.pods import Manifest
from config.sections.inference import InferenceStack
from config.sections.watchdog import InferInput

SHM_PATH = "/dev/shm"  # noqa: S108 - the pod's own emptyDir
"""Folder of the python backend's shared memory."""

SHM_PREFIX = "$(POD_UID)_"
"""Start of the names of a replica's regions where all replicas of a node share the folder; kubelet
puts the pod's UID there."""

STOP_PATH = "/stop"
"""Path of the preStop hook, which the watchdog answers once no gateway sends calls any more."""

_WATCHDOG = Path(__file__).with_name("watchdog")
_NOT_IN_THE_CONTAINER = ("from __future__", "from components.")

_EMPTY_SHM = """\
# The pod's shared memory outlives a container: remove the regions of a killed Triton, whose pages
# would stay occupied, and count against the memory limit, until the pod ends.
shopt -s dotglob nullglob
rm -rf -- {regions}
"""

_NEED_PYTHON = """\
if ! command -v python3 >/dev/null; then
  echo 'start: the image has no python3, so that nothing watches its models' >&2
  shift 4
fi
"""


def watchdog_program() -> str:
    """Return the text of the program that starts Triton and watches it: its modules in one."""
    texts = [(_WATCHDOG / name).read_text(encoding="utf-8") for name in ("probe.py", "program.py")]
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    own = [line for line in lines if not line.startswith(_NOT_IN_THE_CONTAINER)]
    return "".join(["from __future__ import annotations\n", *own])


def command(
    stack: InferenceStack, server: Sequence[str], *, shares_memory: bool = False
) -> list[str]:
    """Return the container's `args` that start a server in an empty shared memory, and watch it.

    Arguments, not the command: the official image's entry point, which makes CUDA fit an older
    driver, runs them. Needs bash and coreutils, and no privileges beyond those of the pod's user.

    Args:
        stack: Inference stack.
        server: Command line of the server.
        shares_memory: True if other replicas have regions in the same folder, which must stay.
    """
    regions = f"{SHM_PATH}/{SHM_PREFIX if shares_memory else ''}*"
    empty_shm = _EMPTY_SHM.format(regions=regions)
    if not stack.triton.watchdog.enabled:
        return ["bash", "-ec", f'{empty_shm}exec "$@"\n', "start", *server]
    # Isolated from the image's settings for its Python, and without site-packages.
    watch = ["python3", "-ISc", watchdog_program()]
    settings = json.dumps(watchdog_settings(stack))
    script = f'{empty_shm}{_NEED_PYTHON}exec "$@"\n'
    return ["bash", "-ec", script, "start", *watch, settings, *server]


def watchdog_settings(stack: InferenceStack) -> Manifest:
    """Return the first argument of the watchdog's program."""
    watchdog = stack.triton.watchdog
    return {
        "port": watchdog.port,
        "stop_path": STOP_PATH,
        "pre_stop_seconds": stack.triton_pre_stop_seconds,
        "http_port": stack.triton.http_port,
        "interval_seconds": stack.watchdog_interval_seconds,
        "patience_seconds": stack.watchdog_patience_seconds,
        "skipped_models": list(watchdog.skipped_models),
        "requests": [
            {"model": request.model, "inputs": [_input(stated) for stated in request.inputs]}
            for request in watchdog.requests
        ],
    }


def _input(stated: InferInput) -> Manifest:
    return {
        "name": stated.name,
        "datatype": stated.datatype,
        "shape": list(stated.shape),
        "data": list(stated.data) or [stated.zero] * stated.items,
    }
