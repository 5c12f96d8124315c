"""Runs a pod's init container for models on this machine, with its volumes as folders."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.triton.model_scripts import MODELS_PATH, SOURCE_PATH


def run(
    container: Mapping[str, Any],
    volumes: Path,
    shell: str = "sh",
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run the command of a container.

    Args:
        container: From the manifest.
        volumes: Folder with a folder for each of its two volumes.
        shell: What stands for /bin/sh.
        environment: Variables besides the container's own.
    """

    def moved(text: str) -> str:
        for path in (MODELS_PATH, SOURCE_PATH):
            text = text.replace(path, f"{volumes}{path}")
        return text

    (volumes / MODELS_PATH[1:]).mkdir(exist_ok=True)
    _, option, script, program = container["command"]
    where, folder, links, *options = container["args"]
    stated = {item["name"]: item["value"] for item in container["env"]}
    return subprocess.run(
        [shell, option, moved(script), program, where, moved(folder), moved(links), *options],
        env={**os.environ, **stated, **(environment or {})},
        capture_output=True,
        text=True,
    )
