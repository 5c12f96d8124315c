"""`make preview-json`: a preview, or its error, as a file for a pull request's comment."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pulumi

from local_cluster.toolchain import ToolchainError
from ops.errors import OpsError
from ops.stack.environment import StackEnvironment
from ops.stack.lifecycle import exclusive, prepare


@exclusive
def write_preview(env: StackEnvironment, file: Path) -> bool:
    """Preview a stack and write `{"stack": ..., "preview": ...}`, or the error in that form.

    The preview is Pulumi's JSON with the unchanged resources, which decide the meaning of a change
    (such as the GPUs of a replica). Pulumi masks secrets.

    Returns:
        True if the preview succeeded.
    """
    try:
        prepare(env, runs_program=True)
        preview, succeeded = _preview(env)
    except (OpsError, ToolchainError, pulumi.RunError) as error:
        # In the form of Pulumi's diagnostics, so that the comment has the reason.
        preview = {"steps": [], "diagnostics": [{"severity": "error", "message": str(error)}]}
        succeeded = False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"stack": env.stack, "preview": preview}, indent=1))
    return succeeded


def _preview(env: StackEnvironment) -> tuple[dict[str, Any], bool]:
    result = subprocess.run(
        ["pulumi", "preview", "--stack", env.stack, "--json", "--show-sames", "--non-interactive"],
        cwd=env.project,
        env=env.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(result.stdout), result.returncode == 0
    except json.JSONDecodeError:
        message = result.stderr.strip() or result.stdout.strip()
        raise OpsError(f"pulumi preview failed: {message.removeprefix('error: ')}") from None
