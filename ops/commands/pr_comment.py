from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command
from ops.pr.markdown import comment
from ops.pr.report import read_previews


@command("pr-comment")
def pr_comment(
    files: Annotated[list[Path], typer.Argument(help="Files that `make preview-json` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Markdown file; standard output if unset.")
    ] = None,
) -> None:
    """Turn previews into a Markdown comment for a pull request."""
    text = comment(read_previews(files))
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
