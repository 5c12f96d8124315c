"""The environment of a stack's commands; that Pulumi runs in it shows in tests/integration."""

import os
from pathlib import Path

import pytest

from local_cluster import toolchain
from ops.stack.environment import StackEnvironment


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Spies in the tool chain's place: what was looked for, in order. No tool is really found."""
    asked: list[tuple[str, ...]] = []

    def bin_dir(*names: str) -> Path:
        asked.append(names)
        return tmp_path / "links"

    def link_plugins(pulumi_home: Path) -> None:
        asked.append((pulumi_home.name,))

    monkeypatch.setattr(toolchain, "bin_dir", bin_dir)
    monkeypatch.setattr(toolchain, "link_plugins", link_plugins)
    return asked


def test_tools_are_looked_for_once_however_many_commands_run(
    tmp_path: Path, resolved: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    first = env.variables()
    monkeypatch.setenv("PATH", "/elsewhere")
    second = env.variables()
    assert resolved == [("cli", "kubectl"), ("pulumi-home",)]
    # What is not looked for is not remembered either.
    links = str(tmp_path / "links")
    assert first["PATH"].startswith(links + os.pathsep)
    assert second["PATH"] == f"{links}{os.pathsep}/elsewhere"


def test_the_folder_for_temporary_files_comes_back_when_it_was_removed(
    tmp_path: Path, resolved: list[tuple[str, ...]]
) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    env.variables()
    env.temporary_dir.rmdir()
    assert Path(env.variables()["TMPDIR"]).is_dir()
    assert len(resolved) == 2


def test_another_stack_has_the_users_own_pulumi(
    tmp_path: Path, resolved: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_HOME", "/users-own")
    variables = StackEnvironment(stack="prod", project=tmp_path).variables()
    assert resolved == [("cli", "kubectl")]
    assert variables["PULUMI_HOME"] == "/users-own"
    assert list(tmp_path.iterdir()) == []


def test_another_stack_takes_nothing_of_devs_from_a_shell_with_devs_environment(
    tmp_path: Path, resolved: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    devs = StackEnvironment(stack="dev", project=tmp_path).own_variables()
    for name, value in devs.items():
        monkeypatch.setenv(name, value)
    # What the user set after it is the user's own.
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://theirs")
    monkeypatch.setenv("AWS_PROFILE", "theirs")
    prod = StackEnvironment(stack="prod", project=tmp_path, extra={"PULUMI_STACK": "prod"})
    variables = prod.variables()
    assert variables.keys() & devs.keys() == {"PULUMI_BACKEND_URL", "PULUMI_STACK"}
    assert variables["PULUMI_BACKEND_URL"] == "s3://theirs"
    assert variables["PULUMI_STACK"] == "prod"
    assert variables["AWS_PROFILE"] == "theirs"
    assert StackEnvironment(stack="dev", project=tmp_path).variables().items() >= devs.items()
    assert resolved[0] == ("cli", "kubectl")
