"""Every target of the Makefile is run by a test through make, on a real checkout.

Here are those that no other test needs; `make bench` is only asked for its options, since its
figures take minutes and are no test's business.
"""

import json
import re
import subprocess
from pathlib import Path

from config.base import PROJECT_FOLDER
from ops.render.render import render
from tests.integration.checkout import Checkout

NAMESPACE = "ai-namespace"
ELSEWHERE = {
    "up": "tests/integration/checkout.py",
    "adopt": "tests/integration/test_other_stack.py",
    "destroy": "tests/integration/test_failures.py",
    "drift": "tests/integration/test_drift.py",
    "retain": "tests/integration/test_other_stack.py",
    "refresh": "tests/integration/test_stack.py",
    "test": "tests/integration/test_readme.py",
    "test-quick": "tests/integration/test_readme.py",
    "preview-json": "tests/integration/test_pull_request.py",
    "pr-comment": "tests/integration/test_pull_request.py",
    "pr-dev": "tests/integration/test_pull_request.py",
    "pr-post": "tests/unit/test_pr_post.py",
    "check": ".ci/run",
}
"""Targets that another file runs, and which one does."""


def targets_in(text: str) -> set[str]:
    return set(re.findall(r"^  ([a-z-]+) ", text, re.MULTILINE))


def test_help_lists_every_target_and_a_test_runs_each(provisioned: Checkout) -> None:
    listed = targets_in(provisioned.target("help").ok().stdout)
    makefile = (provisioned.path / "Makefile").read_text()
    made = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    # What `check` and `drift` stand for.
    assert listed == made - {"lint", "compare"}
    run_here = r'(?:\.(?:target|ops)\("|make -s )([a-z-]+)'
    here = set(re.findall(run_here, Path(__file__).read_text()))
    # Every target depends on `setup`.
    assert listed - here - {"setup"} == ELSEWHERE.keys()
    for target, file in ELSEWHERE.items():
        run = rf'(?:make(?:", "-s",)?|ops\(|target\()[ "]+{target}\b'
        assert re.search(run, (PROJECT_FOLDER / file).read_text()), (target, file)


def test_wait_reports_rollouts_that_are_done_and_refuses_a_cluster_of_other_parameters(
    provisioned: Checkout,
) -> None:
    """Not shown: a rollout that ends while it waits (unit/test_ops_rollouts.py, by stand-ins)."""
    provisioned.target("wait").ok()
    provisioned.set_config(inference=[{"autoscaler": {"cooldownSeconds": 77}}])
    said = provisioned.target("wait").failed().output
    assert "the cluster is not as the parameters of dev state it" in said


def test_tools_finds_what_it_is_asked_for(provisioned: Checkout) -> None:
    """All of them would be built, where they are not there: also those of a node that serves."""
    provisioned.target("tools", ARGS="cluster").ok()
    unknown = provisioned.target("tools", ARGS="no-such-tool").failed()
    assert unknown.output.count("no tool or group is called no-such-tool") == 1


def test_check_models_reads_a_folder_without_a_cluster(provisioned: Checkout) -> None:
    assert "echo" in provisioned.target("check-models", DIR="models").ok().stdout


def test_render_writes_what_is_declared_and_leaves_git_clean(
    provisioned: Checkout, tmp_path: Path
) -> None:
    provisioned.target("render").ok()
    render("dev", tmp_path, project=provisioned.path)
    by_make = provisioned.path / "build/rendered/dev"

    def contents(folder: Path) -> dict[str, str]:
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(folder)): file.read_text() for file in files}

    assert contents(by_make) == contents(tmp_path)
    provisioned.target("render", STACK="prod", OUT=str(tmp_path / "prod")).ok()
    assert (tmp_path / "prod").is_dir()
    assert "no-such" in provisioned.target("render", STACK="no-such").failed().output


def test_validate_holds_the_stacks_that_it_is_given_against_its_linters(
    provisioned: Checkout,
) -> None:
    provisioned.target("validate", STACKS="dev", ARGS="--partial").ok()


def test_env_makes_bare_commands_see_the_same_stack(provisioned: Checkout) -> None:
    script = (
        'eval "$(make -s env)" && pulumi stack output endpoint --stack dev &&'
        f" kubectl -n {NAMESPACE} get service envoy-gateway -o name"
    )
    ran = subprocess.run(
        ["/bin/sh", "-c", script], cwd=provisioned.path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    endpoint, service = ran.stdout.split()
    assert endpoint == json.loads(provisioned.ops("outputs", "--json").ok().stdout)["endpoint"]
    assert service == "service/envoy-gateway"


def test_preview_of_what_stands_changes_nothing(provisioned: Checkout) -> None:
    ran = provisioned.ops("preview", "--expect-no-changes").ok()
    assert "capacity of triton-inference-deployment" in ran.output


def test_what_only_a_cluster_that_serves_can_do_is_one_message(provisioned: Checkout) -> None:
    ran = provisioned.ops("infer").failed()
    assert ran.output.count("error: ") == 1
    assert "LOCAL=serving" in ran.output


def test_status_once_tells_of_the_simulated_cluster_and_ends(provisioned: Checkout) -> None:
    assert "nothing serves" in provisioned.ops("status", "--once").ok().output


def test_models_and_images_are_to_be_had_without_a_cluster(provisioned: Checkout) -> None:
    """Not shown: an image, which takes minutes; any but one that there is ends at once."""
    folder = provisioned.path / "build/models"
    assert provisioned.target("models").ok().stdout == f"{folder}\n"
    assert (folder / "echo/config.pbtxt").exists()
    assert "no image 'no-such'" in provisioned.target("image", NAME="no-such").failed().output


def test_generated_and_formatted_files_are_committed_as_they_come_out(
    provisioned: Checkout,
) -> None:
    provisioned.target("generate").ok()
    provisioned.target("format").ok()
    assert provisioned.git("status", "--porcelain") == ""


def test_bench_tells_its_options(provisioned: Checkout) -> None:
    assert "--repeats" in provisioned.target("bench", ARGS="--help").ok().output


def test_cluster_starts_it_alone_and_down_leaves_nothing_twice(checkout: Checkout) -> None:
    assert "local cluster: made" in checkout.target("cluster").ok().output
    checkout.kubectl("get", "nodes").ok()
    for _ in range(2):
        checkout.target("down").ok()
        assert not checkout.env.state_dir.exists()
    running = subprocess.run(
        ["pgrep", "-f", str(checkout.path)], capture_output=True, text=True, check=False
    )
    assert running.stdout == ""
    assert checkout.git("status", "--porcelain") == ""
