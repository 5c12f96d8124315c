"""Model ConfigMaps of an earlier release, which its state does not yet retain on deletion."""

import json
import tempfile
from pathlib import Path
from typing import Any

from components.state.content_names import CONFIG_MAP
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment


def needs_retaining(resources: list[dict[str, Any]]) -> bool:
    """Return True if the engine would delete a ConfigMap whose name derives from its contents."""
    return any(map(_would_be_deleted, resources))


def retain(env: StackEnvironment) -> bool:
    """Set `retainOnDelete` on ConfigMaps named by their contents; return True if any changed.

    `up` itself deletes those that no object references.

    Raises:
        OpsError: The backend does not open, or another run holds its lock.
    """
    exported = json.loads(pulumi.capture(env, "stack", "export", "--stack", env.stack))
    resources: list[dict[str, Any]] = exported["deployment"].get("resources") or []
    if not needs_retaining(resources):
        return False
    for resource in filter(_would_be_deleted, resources):
        resource["retainOnDelete"] = True
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps(exported), encoding="utf-8")
        pulumi.capture(env, "stack", "import", "--stack", env.stack, "--file", str(file))
    return True


def _would_be_deleted(resource: dict[str, Any]) -> bool:
    return (
        resource["type"] == CONFIG_MAP
        and bool(resource.get("inputs", {}).get("immutable"))
        and not resource.get("retainOnDelete")
    )
