"""Recovery of dev's state after an interrupted run.

Only dev's state is changed: it lies on this machine, and nobody else works on it.
"""

import contextlib
import json
import shutil
import socket
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from config.sections.platform import LOCAL_IDENTIFIER
from local_cluster.record import write_atomically
from local_cluster.storage import locked
from ops.bootstrap import drop_lock
from ops.errors import OpsError
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment
from ops.stack.orphans import orphans
from ops.stack.retain import needs_retaining, retain


@contextlib.contextmanager
def exclusive(env: StackEnvironment, waiting: Callable[[str], None]) -> Generator[None]:
    """Hold dev's lock, so that one command of `make` works on dev; other backends have own locks.

    Args:
        env: The stack.
        waiting: Called with the other command's process id, once, if there is a wait.
    """
    if not env.is_dev:
        yield
        return
    with locked(_lock(env), waiting):
        yield


def _lock(env: StackEnvironment) -> Path:
    return env.state_dir / "dev.lock"


def require_local(env: StackEnvironment) -> None:
    """Refuse a state in dev's backend with resources that are not on the local cluster.

    Pulumi would move them there, and without the state nobody would know of them.

    Raises:
        OpsError: The state holds such resources; the message says how to remove them.
    """
    latest = _latest(env.checkpoint)
    held: list[dict[str, Any]] = latest.get("resources") or []
    unfinished: list[dict[str, Any]] = latest.get("pending_operations") or []
    held = [*held, *(operation["resource"] for operation in unfinished)]
    clusters = {
        f"{one['urn']}::{one.get('id')}": str(one.get("inputs", {}).get("clusterIdentifier", ""))
        for one in held
        if one["type"] == "pulumi:providers:kubernetes"
    }
    local = {provider for provider, cluster in clusters.items() if cluster == LOCAL_IDENTIFIER}
    # Pulumi's own resources (providers, references to stacks) exist in the state only.
    elsewhere = {
        one["urn"]
        for one in held
        if one.get("custom")
        and not one["type"].startswith("pulumi:")
        and one.get("provider") not in local
    }
    if elsewhere:
        named = ", ".join(sorted({*clusters.values()} - {LOCAL_IDENTIFIER, ""}))
        command = "make destroy" if env.is_dev else f"pulumi destroy --stack {env.stack}"
        raise OpsError(
            f"the state of {env.stack} holds {len(elsewhere)} resources on another cluster than "
            f"the local one{f' ({named})' if named else ''}, so it stays as it is. Remove them "
            f"first: run `{command}` with `platform` in {env.stack_file.name} as it was. If that "
            f"cluster no longer exists, delete {env.checkpoint.relative_to(env.project)}."
        )


def require_droppable(env: StackEnvironment) -> None:
    """Refuse to drop dev's backend while a stack in it has resources on another cluster.

    Raises:
        OpsError: As `require_local`.
    """
    # Bare `pulumi` in dev's environment may have created other stacks.
    for file in sorted(env.checkpoint.parent.glob("*.json")):
        require_local(replace(env, stack=file.stem))


def drop_state(env: StackEnvironment) -> None:
    """Delete dev's Pulumi state, as the cluster that it describes no longer exists.

    Raises:
        OpsError: The state describes another cluster than the local one.
    """
    require_droppable(env)
    shutil.rmtree(env.backend_dir, ignore_errors=True)


def match_cluster(env: StackEnvironment, cluster_id: str) -> bool:
    """Drop dev's state if it belongs to another local cluster than `cluster_id`; return True then.

    Raises:
        OpsError: As `drop_state`.
    """
    marker = env.state_dir / "pulumi-cluster"
    known = marker.read_text() if marker.exists() else ""
    stale = env.backend_dir.exists() and known != cluster_id
    if stale:
        drop_state(env)
    if known != cluster_id:
        marker.parent.mkdir(parents=True, exist_ok=True)
        # Atomically: the next run would take a truncated identity for another cluster's.
        write_atomically(marker, cluster_id)
    return stale


def state_lost(env: StackEnvironment) -> Path:
    """Return the path of a marker: the local cluster may hold objects that the state has lost."""
    return env.state_dir / "state-lost"


def release_dead_locks(env: StackEnvironment) -> int:
    """Remove locks of dev's backend whose process is dead; return their number.

    The backend is a folder of this machine, so a lock with another host name is from an earlier
    name. `exclusive` separates the commands of `make`, so a live process is a `pulumi` that the
    user runs.
    """
    removed = 0
    for file in (env.backend_dir / ".pulumi" / "locks").rglob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if _is_dead(json.loads(file.read_text())):
                file.unlink()
                removed += 1
    return removed


def end_orphans(env: StackEnvironment) -> None:
    """Kill providers and programs of dev that a killed engine left running."""
    for process in orphans(env.pulumi_home.resolve()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _is_dead(lock: dict[str, object]) -> bool:
    if lock["hostname"] != socket.gethostname():
        return True
    locked_at = datetime.fromisoformat(str(lock["timestamp"])).timestamp()
    try:
        process = psutil.Process(int(str(lock["pid"])))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        # A process that is younger than the lock has reused the process id.
        return process.create_time() > locked_at + 1
    except psutil.NoSuchProcess:
        return True


def restore_checkpoint(env: StackEnvironment) -> bool:
    """Restore the last whole checkpoint if a killed run truncated it; return True if it did.

    Without a whole checkpoint the state begins empty: the next `up` takes over the objects on the
    cluster, as it uses server-side apply.
    """
    restored = _drop_half_attributes(env)
    file = env.checkpoint
    if not file.exists() or _read(file):
        return restored
    backup = _backup(file)
    if _read(backup):
        shutil.copyfile(backup, file)
    else:
        file.unlink()
    return True


def _drop_half_attributes(env: StackEnvironment) -> bool:
    """Remove truncated attribute files; return True if there were any.

    The backend keeps a content type and a checksum beside each of its files. It works without
    them, but a truncated one keeps it from reading the file.
    """
    half = [file for file in env.backend_dir.rglob("*.attrs") if not _read(file)]
    for file in half:
        file.unlink()
    return bool(half)


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON file of Pulumi's file backend; return an empty mapping if it is truncated."""
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}


def _backup(file: Path) -> Path:
    """Return the file of the checkpoint before the one in a file."""
    return file.with_name(f"{file.name}.bak")


def _latest(file: Path) -> dict[str, Any]:
    """Return the last whole checkpoint; empty if there is none, or it is a removed stack's."""
    whole = (_read(file) or _read(_backup(file))) if file.exists() else {}
    return whole.get("checkpoint", {}).get("latest") or {}


def clear_pending(env: StackEnvironment) -> bool:
    """Clear the pending operations of a killed run by a refresh; return True if there were any."""
    # Read from the file, as a question to Pulumi takes as long as a command.
    if not _latest(env.checkpoint).get("pending_operations"):
        return False
    clear = (*pulumi.UNATTENDED, "--clear-pending-creates")
    pulumi.capture(env, "refresh", "--stack", env.stack, *clear)
    return True


def keep_contents(env: StackEnvironment) -> bool:
    """Make the state of an earlier release keep its models; return True if it was changed."""
    return needs_retaining(_latest(env.checkpoint).get("resources") or []) and retain(env)


def has_checkpoint(env: StackEnvironment) -> bool:
    """Return True if dev was provisioned from this checkout, or an attempt was made."""
    return env.checkpoint.exists()


def forget(env: StackEnvironment) -> None:
    """Delete every local file that Pulumi keeps of dev."""
    drop_state(env)
    shutil.rmtree(env.pulumi_home, ignore_errors=True)
    shutil.rmtree(env.state_dir / "kubectl", ignore_errors=True)
    shutil.rmtree(env.temporary_dir, ignore_errors=True)
    (env.state_dir / "pulumi-cluster").unlink(missing_ok=True)
    state_lost(env).unlink(missing_ok=True)
    # The holder deletes the lock; a command that waits for it creates it again.
    _lock(env).unlink(missing_ok=True)
    drop_lock(env.project)
    with contextlib.suppress(OSError):
        # The folder may hold files of others.
        env.state_dir.rmdir()
