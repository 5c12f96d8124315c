"""Make targets of the pull-request workflow, on a real checkout and a real cluster.

Not shown: staging and prod, whose previews need AWS; what GitHub does with the workflow.
"""

import subprocess
from pathlib import Path

import yaml

from ops.pr.dev import WORKTREE
from tests.integration.checkout import Checkout


def commit(checkout: Checkout, message: str) -> None:
    checkout.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", message)


def test_a_change_is_previewed_against_the_base_on_a_cluster_of_its_own(tmp_path: Path):
    """The base is applied, the head is previewed, and nothing of either stays behind.

    What a killed run left half made is in the way, and a change is not committed yet.
    """
    checkout = Checkout.make(tmp_path / "checkout")
    base = checkout.git("rev-parse", "HEAD").strip()
    checkout.git("worktree", "add", "-q", "--detach", str(WORKTREE), "HEAD")
    (checkout.path / WORKTREE / ".git").unlink()
    checkout.set_config(
        inference=[{"autoscaler": {"maxReplicas": 24}, "triton": {"loadSeconds": 90}}]
    )
    commit(checkout, "more replicas")
    checkout.set_config(inference=[{"autoscaler": {"maxReplicas": 22}}])
    status = checkout.git("status", "--porcelain")

    out = tmp_path / "pr"
    ran = checkout.target("pr-dev", BASE=base, OUT=str(out)).ok()

    text = (out / "dev.md").read_text()
    assert "0 unchanged" not in text, text
    assert "deleted or replaced" not in text.lower(), text
    assert "- GPUs that the scaler may ask for: 20 → 22." in text, text
    assert "  spec.maxReplicaCount:\n- 20\n+ 22\n" in text, text
    assert "capacity of triton-inference-deployment" in text, text
    assert str(out) in ran.output
    # Nothing of the run stays.
    assert checkout.git("status", "--porcelain") == status
    assert len(checkout.git("worktree", "list").splitlines()) == 1
    assert [file.name for file in checkout.env.state_dir.iterdir()] == ["bootstrap.lock"]
    found = subprocess.run(
        ["pgrep", "-f", str(checkout.path)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_a_head_that_is_refused_gets_a_comment_with_the_reason(tmp_path: Path):
    """The comment's target runs on what the failed preview wrote; no cluster is started for it."""
    checkout = Checkout.make(tmp_path / "checkout")
    document = yaml.safe_load(checkout.env.stack_file.read_text())
    document["config"]["kubemind-inference:inference"] = [{"autoscaler": {"maxReplicas": 1}}]
    checkout.env.stack_file.write_text(yaml.safe_dump(document))
    failed = checkout.target("preview-json", OUT="build/pr/dev.json").failed()
    assert "the preview of dev failed" in failed.output
    checkout.target("pr-comment", IN="build/pr/dev.json", OUT="build/pr/dev.md").ok()
    text = (checkout.path / "build/pr/dev.md").read_text()
    assert "### `dev`: the preview failed" in text
    assert "autoscaler.maxReplicas" in text
    assert not checkout.kubeconfig.exists()


def test_an_unknown_base_is_one_message(tmp_path: Path):
    checkout = Checkout.make(tmp_path / "checkout")
    failed = checkout.target("pr-dev", BASE="no-such-ref").failed()
    assert "no-such-ref" in failed.stderr
    assert len(checkout.git("worktree", "list").splitlines()) == 1
