"""`make pr-post`: post a comment on a pull request, or update the earlier one.

GitHub's CLI does so with the token in `GH_TOKEN`. Without a token (a fork's pull request) the
comment goes to the summary of the workflow's job only.
"""

import os
import subprocess
from pathlib import Path

from ops.errors import OpsError


def write_summary(file: Path) -> None:
    """Append a comment's file to the summary of the workflow's job, if there is a job.

    Raises:
        OpsError: The file cannot be read.
    """
    try:
        text = file.read_text()
    except OSError as error:
        raise OpsError(str(error)) from None
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as stream:
            stream.write(text + "\n")


def post(file: Path, pull_request: int, repository: str) -> None:
    """Post the comment in a file; replace an earlier comment with the same first line.

    Raises:
        OpsError: GitHub refused.
    """
    marker = file.read_text().partition("\n")[0]
    comments = f"repos/{repository}/issues/{pull_request}/comments"
    # Replace a bot's comment only: a person may quote the marker.
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
        raise OpsError(f"gh api failed: {result.stderr.strip()}")
    return result.stdout
