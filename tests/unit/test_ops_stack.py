"""What the commands ask of Pulumi. Pulumi itself is a spy here; the real one: integration."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops import heal, pulumi, stack
from ops.environment import StackEnvironment

COMMANDS: dict[str, Callable[..., None]] = {
    "up": stack.up,
    "preview": stack.preview,
    "refresh": stack.refresh,
    "destroy": stack.destroy,
    "down": stack.down,
}


class _ReachedError(Exception):
    """A command came as far as its first act."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_alone_on_dev_from_its_first_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)

    def look(_: StackEnvironment) -> None:
        with (env.state_dir / "dev.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise _ReachedError

    monkeypatch.setattr(stack, "prepare", look)
    monkeypatch.setattr(heal, "end_orphans", look)
    with pytest.raises(_ReachedError):
        COMMANDS[name](env)


def test_outputs_of_a_fresh_clone_say_what_to_run(tmp_path: Path) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    with pytest.raises(pulumi.OpsError) as refused:
        stack.outputs(env)
    assert str(refused.value) == "dev is not provisioned yet; run: make up"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["up", "refresh", "destroy"])
@pytest.mark.parametrize("stack_name", ["dev", "staging", "prod"])
def test_only_dev_is_changed_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stack_name: str
) -> None:
    asked: list[tuple[str, ...]] = []

    def run(_: StackEnvironment, *arguments: str) -> None:
        asked.append(arguments)
        raise _ReachedError

    monkeypatch.setattr(stack, "prepare", lambda _: None)
    monkeypatch.setattr(pulumi, "run", run)
    with pytest.raises(_ReachedError):
        COMMANDS[name](StackEnvironment(stack=stack_name, project=tmp_path))
    [arguments] = asked
    assert arguments[:3] == (name, "--stack", stack_name)
    unattended = {"--yes", "-y", "--skip-preview", "-f", "--non-interactive"} & set(arguments)
    assert unattended == ({"--yes", "--skip-preview"} if stack_name == "dev" else set())


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
    monkeypatch.setattr(stack, "read_settings", lambda _: SimpleNamespace(platform=None))
    monkeypatch.setattr(pulumi, "select_stack", asked.append)
    stack.prepare(env)
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
