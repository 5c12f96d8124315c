"""`make pr-comment`: previews as one Markdown comment for a pull request."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.report_markdown import comment

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def read_previews(files: Sequence[Path]) -> dict[str, Any]:
    """What `make preview-json` wrote, by stack.

    A file of Pulumi's own `preview --json` does too; its stack is the file's name.
    """
    previews: dict[str, Any] = {}
    for file in files:
        document = json.loads(file.read_text())
        if "preview" in document:
            previews[document["stack"]] = document["preview"]
        else:
            previews[file.stem] = document
    return previews


@app.command()
def main(
    files: Annotated[list[Path], typer.Argument(help="Files that `make preview-json` wrote.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file; printed where unset.")] = None,
) -> None:
    """Turn previews into a Markdown comment."""
    try:
        text = comment(read_previews(files))
    except (OSError, json.JSONDecodeError) as error:
        print(f"error: no preview can be read: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)


if __name__ == "__main__":
    app()
