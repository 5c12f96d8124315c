"""Calls of the commands to Pulumi. Pulumi is a spy here; the real one: integration."""

import contextlib
import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from config.sections.platform import KubeconfigPlatform, LocalPlatform, Platform, ReferencePlatform
from config.settings import Settings
from local_cluster.cluster import Cluster
from ops.errors import OpsError
from ops.stack import lifecycle, pulumi, recovery, teardown
from ops.stack.environment import StackEnvironment

COMMANDS: dict[str, Callable[..., None]] = {
    "up": lifecycle.up,
    "preview": lifecycle.preview,
    "refresh": lifecycle.refresh,
    "destroy": lifecycle.destroy,
    "down": lifecycle.down,
}


class _ReachedError(Exception):
    """A command came as far as its first act."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_alone_on_dev_from_its_first_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)

    def look(_: StackEnvironment, **__: object) -> None:
        with (env.state_dir / "dev.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise _ReachedError

    monkeypatch.setattr(lifecycle, "prepare", look)
    monkeypatch.setattr(recovery, "end_orphans", look)
    with pytest.raises(_ReachedError):
        COMMANDS[name](env)


@pytest.mark.parametrize("name", ["up", "preview", "refresh", "destroy"])
def test_only_up_may_change_a_local_cluster_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And `make cluster`; what may change: tests/integration/test_local_cluster_shape."""
    asked: list[bool] = []

    def up(_: Cluster, __: Settings, *, reshape: bool = True) -> None:
        asked.append(reshape)
        raise _ReachedError

    monkeypatch.setattr(Cluster, "up", up)
    monkeypatch.setattr(lifecycle, "read_settings", lambda _, **__: Settings())
    with pytest.raises(_ReachedError):
        COMMANDS[name](StackEnvironment(stack="dev", project=tmp_path))
    assert asked == [name == "up"]


def test_outputs_of_a_fresh_clone_say_what_to_run(tmp_path: Path) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    with pytest.raises(OpsError) as refused:
        lifecycle.outputs(env)
    assert str(refused.value) == "dev is not provisioned yet; run: make up"
    assert list(tmp_path.iterdir()) == []


_ELSEWHERE = KubeconfigPlatform(kind="kubeconfig", path="theirs")


@pytest.mark.parametrize("name", ["up", "refresh", "destroy"])
@pytest.mark.parametrize(
    ("stack_name", "platform", "is_asked"),
    [
        ("dev", LocalPlatform(), False),
        ("dev", _ELSEWHERE, True),
        ("dev", ReferencePlatform(kind="stackReference", stack="o/p/s"), True),
        ("prod", _ELSEWHERE, True),
        ("prod", LocalPlatform(), True),
    ],
)
def test_only_on_the_local_cluster_is_anything_changed_without_being_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stack_name: str,
    platform: Platform,
    is_asked: bool,
) -> None:
    asked: list[tuple[str, ...]] = []

    def run(_: StackEnvironment, *arguments: str) -> None:
        asked.append(arguments)
        raise _ReachedError

    monkeypatch.setattr(lifecycle, "prepare", lambda _, **__: Settings(platform=platform))
    monkeypatch.setattr(pulumi, "deployment", lambda _: {})
    monkeypatch.setattr(teardown, "open_on", lambda *_: contextlib.nullcontext(Mock()))
    monkeypatch.setattr(pulumi, "run", run)
    with pytest.raises(_ReachedError):
        COMMANDS[name](StackEnvironment(stack=stack_name, project=tmp_path))
    [arguments] = asked
    assert arguments[:3] == (name, "--stack", stack_name)
    unattended = {"--yes", "-y", "--skip-preview", "-f", "--non-interactive"} & set(arguments)
    assert unattended == (set() if is_asked else {"--yes", "--skip-preview"})


@pytest.mark.parametrize("name", COMMANDS)
def test_dev_on_another_cluster_is_not_touched_once_its_platform_is_local_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The states are in test_ops_recovery."""
    env = StackEnvironment(stack="dev", project=tmp_path)
    env.stack_file.write_text("config: {}\n")
    role = {"urn": "r", "custom": True, "type": "aws:iam/role:Role", "provider": "aws"}
    env.checkpoint.parent.mkdir(parents=True)
    env.checkpoint.write_text(json.dumps({"checkpoint": {"latest": {"resources": [role]}}}))

    def touch(*_: object, **__: object) -> None:
        raise _ReachedError

    for act in ("up", "down"):
        monkeypatch.setattr(Cluster, act, touch)
    monkeypatch.setattr(pulumi, "run", touch)
    with pytest.raises(OpsError, match="the state of dev holds 1 resources on another"):
        COMMANDS[name](env)
    assert env.checkpoint.exists()


def test_what_a_killed_run_left_open_is_settled_on_the_local_cluster_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    env.checkpoint.parent.mkdir(parents=True)
    env.checkpoint.write_text('{"checkpoint": {"latest": {}}}')
    settled: list[StackEnvironment] = []
    monkeypatch.setattr(recovery, "clear_pending", settled.append)
    monkeypatch.setattr(lifecycle, "read_settings", lambda _, **__: Settings(platform=_ELSEWHERE))
    lifecycle.prepare(env)
    assert settled == []


@pytest.mark.parametrize("stack_name", ["dev", "prod"])
def test_a_stack_that_was_never_made_says_how_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack_name: str
) -> None:
    """Not shown: the advice works (tests/integration/test_first_use)."""

    def capture(*_: object) -> str:
        raise OpsError("pulumi stack failed: no stack")

    monkeypatch.setattr(pulumi, "capture", capture)
    with pytest.raises(OpsError, match=r"^pulumi stack failed: no stack") as refused:
        pulumi.select_stack(StackEnvironment(stack=stack_name, project=tmp_path))
    _, *way = str(refused.value).splitlines()
    # Dev is made by itself; what stops it is something else.
    assert [line.strip() for line in way[1:]] == (
        []
        if stack_name == "dev"
        else [
            'eval "$(make -s env STACK=prod)"',
            "pulumi login s3://your-state-bucket",
            "pulumi stack init prod",
        ]
    )


@pytest.mark.parametrize(
    ("stack_name", "is_made", "selected"),
    [("dev", False, True), ("dev", True, False), ("prod", False, True), ("prod", True, True)],
)
def test_only_a_dev_that_is_there_needs_no_selecting(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stack_name: str,
    is_made: bool,
    selected: bool,
) -> None:
    env = StackEnvironment(stack=stack_name, project=tmp_path)
    if is_made:
        env.checkpoint.parent.mkdir(parents=True)
        env.checkpoint.write_text('{"version": 3, "checkpoint": {"latest": {}}}')
    asked: list[StackEnvironment] = []
    monkeypatch.setattr(lifecycle, "read_settings", lambda _, **__: Settings(platform=_ELSEWHERE))
    monkeypatch.setattr(pulumi, "select_stack", asked.append)
    monkeypatch.setattr(pulumi, "deployment", lambda _: {})
    lifecycle.prepare(env)
    assert asked == [env] * selected
    # Selected or not, bare Pulumi in dev's environment knows which stack is meant.
    assert env.own_variables().get("PULUMI_STACK") == ("dev" if env.is_dev else None)


def test_outputs_are_the_stacks_own_and_secrets_are_masked() -> None:
    secret = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "ciphertext": "v1:x",
    }
    held = {
        "resources": [
            {"type": "kubemind:index:Triton", "outputs": {"deploymentName": "triton"}},
            {
                "type": "pulumi:pulumi:Stack",
                "outputs": {"figure": 16, "token": secret, "nested": {"all": [1, secret]}},
            },
        ]
    }
    assert pulumi.outputs(held) == {
        "figure": 16,
        "token": "[secret]",
        "nested": {"all": [1, "[secret]"]},
    }


@pytest.mark.parametrize(
    "held", [{}, {"resources": None}, {"resources": [{"type": "pulumi:pulumi:Stack"}]}]
)
def test_a_stack_that_holds_nothing_has_no_outputs(held: dict[str, object]) -> None:
    assert pulumi.outputs(held) == {}
