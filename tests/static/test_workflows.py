"""The GitHub workflows: sound, pinned, of least privilege, and made of make targets.

Not shown: that GitHub runs them. What their make targets do is tested where the targets are.
"""

import copy
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_cluster import toolchain
from ops.stack.environment import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((PROJECT / ".github" / "actions").glob("*/action.yml"))

PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
FORK_GUARD = "github.event.pull_request.head.repo.full_name == github.repository"
ALLOWED = {"contents": {"read"}, "pull-requests": {"write"}, "id-token": {"write"}}


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    binary = toolchain.ensure("actionlint")["actionlint"]
    # Whatever else is on this machine's PATH must not decide the result.
    return subprocess.run(
        [binary, "-shellcheck=", "-pyflakes=", *files],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def unpinned(text: str) -> list[str]:
    """Uses of other people's actions that are not a commit with its version beside it."""
    uses = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]
    return [use for use in uses if not use.startswith("uses: ./") and not PINNED.fullmatch(use)]


def privileges(workflow: dict[str, Any]) -> list[str]:
    """Return permissions that a workflow does not need, or that it gives to a fork."""
    found = []
    # YAML 1.1 reads the key `on` as true.
    events = workflow[True]
    if "pull_request_target" in events or "workflow_run" in events:
        found.append("runs a fork's code with the repository's permissions")
    if workflow.get("permissions") != {}:
        found.append("the workflow itself has permissions")
    for name, job in workflow["jobs"].items():
        for scope, level in job.get("permissions", {"all": "default"}).items():
            if level not in ALLOWED.get(scope, set()):
                found.append(f"{name}: {scope}: {level}")
        text = str(job)
        trusted = "secrets." in text or "id-token" in job.get("permissions", {})
        if trusted and FORK_GUARD not in job.get("if", ""):
            found.append(f"{name}: secrets or an identity without the fork guard")
        checkouts = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout")]
        if any(s.get("with", {}).get("persist-credentials") is not False for s in checkouts):
            found.append(f"{name}: the token stays in the checkout")
        if re.search(r"\$\{\{ *github\.(head_ref|event\.[\w.]*(title|body|ref|label))", text):
            found.append(f"{name}: text that anyone may write goes into a command")
    return found


def commands(workflow: dict[str, Any]) -> Iterator[str]:
    for job in workflow.get("jobs", {"": workflow.get("runs", {})}).values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"]


def not_a_target(workflow: dict[str, Any]) -> list[str]:
    """Commands that are no target of the Makefile, so that no test runs them."""
    found = []
    for command in commands(workflow):
        match = re.fullmatch(r"make ([a-z-]+)( \w+=\S+)*", command)
        if (
            not match
            or subprocess.run(
                ["make", "--dry-run", match[1]], cwd=PROJECT, capture_output=True, check=False
            ).returncode
        ):
            found.append(command)
    return found


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())


PREVIEW = PROJECT / ".github" / "workflows" / "preview.yml"


@pytest.mark.tools
def test_actionlint_finds_nothing():
    assert len(WORKFLOWS) >= 2
    result = actionlint(*WORKFLOWS)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.tools
def test_actionlint_would_find_a_wrong_expression(tmp_path):
    broken = tmp_path / "preview.yml"
    broken.write_text(PREVIEW.read_text().replace("matrix.stack }}", "matrix.stak }}", 1))
    result = actionlint(broken)
    assert result.returncode == 1
    assert 'property "stak" is not defined' in result.stdout


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: file.parent.name)
def test_every_action_is_pinned_to_a_commit(file):
    assert unpinned(file.read_text()) == []


@pytest.mark.parametrize("use", ["actions/checkout@v5", "actions/checkout@08c6903 # v5.0.0"])
def test_an_action_by_tag_or_short_commit_is_found(use):
    assert unpinned(f"      - uses: {use}\n") == [f"uses: {use}"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_have_the_least_privileges(file):
    assert privileges(read(file)) == []


def job(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda workflow: workflow["jobs"][name].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.update({True: {"pull_request_target": None}}),
            "runs a fork's code with the repository's permissions",
        ),
        (lambda w: w.update(permissions="write-all"), "the workflow itself has permissions"),
        (lambda w: w["jobs"]["dev"].pop("permissions"), "dev: all: default"),
        (job("dev", permissions={"contents": "write"}), "dev: contents: write"),
        (
            lambda w: w["jobs"]["shared"].update({"if": "always()"}),
            "shared: secrets or an identity without the fork guard",
        ),
        (
            lambda w: w["jobs"]["dev"]["steps"][0].pop("with"),
            "dev: the token stays in the checkout",
        ),
        (
            lambda w: w["jobs"]["dev"]["steps"][-1].update(
                run="echo ${{ github.event.pull_request.title }}"
            ),
            "dev: text that anyone may write goes into a command",
        ),
    ],
)
def test_each_privilege_too_many_is_found(change, message):
    workflow = copy.deepcopy(read(PREVIEW))
    change(workflow)
    assert privileges(workflow) == [message]


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: file.parent.name)
def test_every_command_is_a_make_target(file):
    assert not_a_target(read(file)) == []


@pytest.mark.parametrize("command", ["make no-such-target", "curl x | sh", "make up; rm -rf x"])
def test_a_command_that_is_no_target_is_found(command):
    assert not_a_target({"jobs": {"x": {"steps": [{"run": command}]}}}) == [command]


def test_staging_and_prod_are_both_previewed():
    matrix = read(PREVIEW)["jobs"]["shared"]["strategy"]["matrix"]
    assert matrix == {"stack": ["staging", "prod"]}
