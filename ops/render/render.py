"""`make render`: what the program declares for a stack, as files, with no cluster and no AWS.

Pulumi's own provider can write YAML too, but wants a kubeconfig for it and leaves Helm releases
out; so the program runs under mocks here, and what it declares is written down.
"""

import subprocess
from pathlib import Path

from local_cluster import toolchain
from ops.render.files import files_of, rendered_stack, write
from ops.render.program import RenderError, declare
from ops.stack.environment import PROJECT


def render(stack: str, folder: Path, project: Path = PROJECT) -> int:
    """Write what the program declares for a stack into a folder.

    Returns:
        The number of files.

    Raises:
        RenderError: There is no such stack, or a foreign file is in the way.
        pulumi.RunError: The program refused its configuration; nothing was written.
    """
    files = files_of(declare(stack, project))
    write(folder, stack, files)
    return len(files)


def server_diff(folder: Path, kubeconfig: Path, context: str) -> list[str]:
    """Return the changes that applying a render would make, as the API server computes them.

    The API server merges and defaults as it would in an apply, so what is equal here is equal
    there. Fields that others own, such as the scaler's replica count, are not touched by it.

    Returns:
        The lines of a unified diff; none where nothing would change.

    Raises:
        RenderError: The folder holds no complete render, or the cluster refused the question.
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
