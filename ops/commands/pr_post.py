import os
from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command
from ops.pr.post import post, write_summary


@command("pr-post")
def pr_post(
    file: Annotated[Path, typer.Argument(help="Markdown file; its first line is the marker.")],
    pull_request: Annotated[int, typer.Option("--pr", help="Number of the pull request.")],
) -> None:
    """Post a comment on a pull request, or update it."""
    write_summary(file)
    if os.environ.get("GH_TOKEN"):
        post(file, pull_request, os.environ["GITHUB_REPOSITORY"])
    else:
        print("no GH_TOKEN: the pull request gets no comment")
