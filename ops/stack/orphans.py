"""Processes of Pulumi that a killed engine left running."""

from contextlib import suppress
from pathlib import Path

import psutil

_ENGINE = "pulumi"
_LANGUAGE_HOST = "pulumi-language-"


def orphans(home: Path) -> list[psutil.Process]:
    """Return plugins and programs of a Pulumi home whose engine has ended.

    Args:
        home: Folder that the engine was given as PULUMI_HOME, resolved.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"]
        with suppress(psutil.Error):
            # Who takes over the child of a dead one is not always process 1: a user's systemd, too.
            if (
                command
                and (Path(command[0]).is_relative_to(home) or _runs_a_program(process, home))
                and all(parent.name() != _ENGINE for parent in process.parents())
            ):
                found.append(process)
    return found


def _runs_a_program(process: psutil.Process, home: Path) -> bool:
    """Tell whether a process is a language host, or runs below one, of an engine with that home."""
    named = any(Path(word).name.startswith(_LANGUAGE_HOST) for word in process.cmdline()[:2])
    stated = process.environ().get("PULUMI_HOME") if named else None
    return stated is not None and Path(stated).resolve() == home
