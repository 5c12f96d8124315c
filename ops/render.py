"""`make render`: what the program declares for a stack, as files, with no cluster and no AWS.

Pulumi's own provider can write YAML too, but wants a kubeconfig for it and leaves Helm releases
out; so the program runs under mocks here, and what it declares is written down.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pulumi
import typer

import toolchain
from ops.environment import PROJECT
from ops.render_files import files_of, rendered_stack, write
from ops.render_program import RenderError, declare

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def render(stack: str, folder: Path, project: Path = PROJECT) -> int:
    """Write what the program declares for a stack into a folder.

    Returns:
        The number of files.

    Raises:
        RenderError: there is no such stack, or a foreign file is in the way.
        pulumi.RunError: the program refused its configuration; nothing was written.
    """
    files = files_of(declare(stack, project))
    write(folder, stack, files)
    return len(files)


def server_diff(folder: Path, kubeconfig: Path, context: str) -> list[str]:
    """What applying a render would change on a cluster, by the server's own reckoning.

    The API server merges and defaults as it would in an apply, so what is equal here is equal
    there. Fields that others own, such as the scaler's replica count, are not touched by it.

    Returns:
        The lines of a unified diff; none where nothing would change.

    Raises:
        RenderError: the folder holds no complete render, or the cluster refused the question.
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


@app.command()
def main(
    stack: Annotated[str, typer.Option(help="Name of the stack.")] = "dev",
    out: Annotated[Path | None, typer.Option(help="Folder; build/rendered/STACK if unset.")] = None,
) -> None:
    """Write what the program declares for a stack into a folder."""
    folder = out or PROJECT / "build" / "rendered" / stack
    try:
        count = render(stack, folder)
    except (RenderError, pulumi.RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{count} files of {stack} in {folder}")


if __name__ == "__main__":
    app()
