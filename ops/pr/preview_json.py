"""`make preview-json`: a preview as a file, also where it fails, for a pull request's comment."""

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
    """Preview a stack and write `{"stack": ..., "preview": ...}`; what stops it is written too.

    The preview is Pulumi's own JSON with the unchanged resources in it, as what they hold decides
    what a change means (how many GPUs a replica has). Secrets are masked by Pulumi.

    Returns:
        Whether the preview went well.
    """
    try:
        prepare(env)
        preview, succeeded = _preview(env)
    except (OpsError, ToolchainError, pulumi.RunError) as error:
        # The same form as Pulumi's own, so that a comment says why there is no preview.
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
        said = result.stderr.strip() or result.stdout.strip()
        raise OpsError(f"pulumi preview failed: {said.removeprefix('error: ')}") from None
