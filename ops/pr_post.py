"""`make pr-post`: put a comment on a pull request, or bring the one that is there up to date.

GitHub's own CLI speaks to GitHub, with the token in `GH_TOKEN`. Where there is none (a fork's pull
request) the comment goes to the summary of the workflow's job alone.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class PostError(Exception):
    """GitHub refused; its text is the whole message for the user."""


def post(file: Path, pull_request: int, repository: str) -> None:
    """Post a comment's file, over the earlier comment with the same first line if there is one.

    Raises:
        PostError: GitHub refused.
    """
    marker = file.read_text().partition("\n")[0]
    comments = f"repos/{repository}/issues/{pull_request}/comments"
    # Only a bot's comment is replaced: a person may quote the marker.
    listed = _gh(
        *("--paginate", comments),
        *("--jq", '.[] | select(.user.type == "Bot") | "\\(.id) \\(.body | split("\\n")[0])"'),
    )
    found = [line.partition(" ") for line in listed.splitlines()]
    earlier = next((identifier for identifier, _, first in found if first.strip() == marker), None)
    body = f"body=@{file}"
    if earlier:
        _gh("--method", "PATCH", f"repos/{repository}/issues/comments/{earlier}", "-F", body)
    else:
        _gh("--method", "POST", comments, "-F", body)


def _gh(*arguments: str) -> str:
    result = subprocess.run(["gh", "api", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise PostError(f"gh api failed: {result.stderr.strip()}")
    return result.stdout


@app.command()
def main(
    file: Annotated[Path, typer.Argument(help="Markdown file; its first line is the marker.")],
    pull_request: Annotated[int, typer.Option("--pr", help="Number of the pull request.")],
) -> None:
    """Post or update a comment."""
    try:
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a") as stream:
                stream.write(file.read_text() + "\n")
        if os.environ.get("GH_TOKEN"):
            post(file, pull_request, os.environ["GITHUB_REPOSITORY"])
        else:
            print("no GH_TOKEN: the pull request gets no comment")
    except (PostError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
