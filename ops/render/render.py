"""`make render`: the declared resources of a stack as files, without a cluster and AWS.

Pulumi's provider can write YAML too, but needs a kubeconfig and omits Helm releases. So the
program runs under mocks.
"""

import subprocess
from pathlib import Path

from local_cluster import toolchain
from ops.render.files import files_of, rendered_stack, write
from ops.render.program import RenderError, declare
from ops.stack.environment import PROJECT


def render(stack: str, folder: Path, project: Path = PROJECT) -> int:
    """Write the resources that the program declares for a stack into a folder.

    Returns:
        The number of files.

    Raises:
        RenderError: There is no such stack, or a file of others is in the way.
        pulumi.RunError: The program refused its configuration; nothing was written.
    """
    files = files_of(declare(stack, project))
    write(folder, stack, files)
    return len(files)


def server_diff(folder: Path, kubeconfig: Path, context: str) -> list[str]:
    """Return the changes that applying a render would make, as the API server computes them.

    The API server merges and sets defaults as in an apply, so an empty diff means no change. It
    leaves fields of other managers, such as the scaler's replica count.

    Returns:
        The lines of a unified diff; empty if nothing would change.

    Raises:
        RenderError: The folder holds no complete render, or kubectl failed.
    """
    rendered_stack(folder)
    kubectl = toolchain.ensure("kubectl")["kubectl"]
    result = subprocess.run(
        [
            *(kubectl, "--kubeconfig", kubeconfig, "--context", context),
            *("diff", "--server-side", "--force-conflicts", "-k", folder),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    # kubectl diff: 0 equal, 1 different, more is an error.
    if result.returncode > 1:
        raise RenderError(f"kubectl diff failed: {result.stderr.strip()}")
    return result.stdout.splitlines()
