"""`make pr-post`: which calls are made of GitHub's CLI.

A stand-in for `gh` keeps what it is told. Not shown: what GitHub answers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.stack.environment import PROJECT

MARKER = "<!-- kubemind-inference preview of dev -->"
STAND_IN = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if (here / "refuse").exists():
    sys.exit((here / "refuse").read_text())
if "--paginate" in sys.argv:
    print((here / "comments").read_text(), end="")
"""


@pytest.fixture
def gh(tmp_path: Path) -> Path:
    """A folder with a stand-in for gh; `comments` is what its jq filter would print."""
    stand_in = tmp_path / "gh"
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)
    (tmp_path / "comments").write_text("")
    (tmp_path / "dev.md").write_text(f"{MARKER}\n### `dev`: no changes\n")
    return tmp_path


@pytest.fixture
def post(gh: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(token: str = "t") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{gh}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_STEP_SUMMARY": str(gh / "summary"),
            "GH_TOKEN": token,
        }
        return subprocess.run(
            ["make", "-s", "pr-post", f"IN={gh / 'dev.md'}", "PR=7"],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def calls(gh: Path) -> list[list[str]]:
    file = gh / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_the_first_comment_is_created(gh, post):
    assert post().returncode == 0
    _, made = calls(gh)
    where = "repos/owner/name/issues/7/comments"
    assert made == ["api", "--method", "POST", where, "-F", f"body=@{gh / 'dev.md'}"]


def test_a_later_one_replaces_the_comment_with_the_same_marker_alone(gh, post):
    (gh / "comments").write_text(
        "11 <!-- kubemind-inference preview of prod -->\n12 hello\n"
        f"13 {MARKER}\r\n14 quoting {MARKER}\n"
    )
    assert post().returncode == 0
    _, made = calls(gh)
    where = "repos/owner/name/issues/comments/13"
    assert made == ["api", "--method", "PATCH", where, "-F", f"body=@{gh / 'dev.md'}"]


def test_without_a_token_the_comment_goes_to_the_jobs_summary_alone(gh, post):
    result = post(token="")
    assert result.returncode == 0
    assert "the pull request gets no comment" in result.stdout
    assert calls(gh) == []
    assert MARKER in (gh / "summary").read_text()


def test_a_refusal_is_one_message(gh, post):
    (gh / "refuse").write_text("HTTP 403: Resource not accessible by integration")
    result = post()
    assert result.returncode != 0
    said, *made_of_it = result.stderr.splitlines()
    assert said == "error: gh api failed: HTTP 403: Resource not accessible by integration"
    assert all(line.startswith("make") for line in made_of_it)
