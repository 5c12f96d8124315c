"""The command line `python -m ops`; the tests of a command are beside its subject."""

import sys

import pytest

from ops import commands
from ops.__main__ import main, register
from ops.cli import app
from ops.stack.environment import PROJECT


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ops", *arguments])
    return main()


def test_each_module_of_the_commands_adds_the_command_of_its_name():
    register()
    folder = PROJECT / "ops" / "commands"
    modules = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    registered = {
        command.name: command.callback.__module__
        for command in app.registered_commands
        if command.callback
    }
    assert registered == {
        module.replace("_", "-"): f"{commands.__name__}.{module}" for module in modules
    }


def test_each_command_is_run_by_the_makefile_and_is_in_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    register()
    assert run(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    names = {line.split()[0] for line in listed if line.strip()}
    assert names == {command.name for command in app.registered_commands}
    assert not [line for line in listed if line.endswith("...")]
    makefile = (PROJECT / "Makefile").read_text()
    assert not [name for name in names if f"-m ops {name}" not in makefile]


@pytest.mark.parametrize("command", ["up", "preview", "refresh", "destroy"])
def test_an_unknown_option_is_passed_on_and_an_error_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--stack", "nowhere", "--target", "x") == 1
    [message] = capsys.readouterr().err.splitlines()
    assert message.startswith("error: there is no Pulumi.nowhere.yaml; STACK names one of dev, ")


@pytest.mark.parametrize("command", ["cluster", "down", "outputs", "status", "env"])
def test_a_command_that_passes_nothing_on_refuses_an_unknown_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--target") == 2
    assert "--target" in capsys.readouterr().err


def test_an_unknown_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "nonsense") == 2
    assert "nonsense" in capsys.readouterr().err


def test_only_dev_can_be_taken_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "down", "--stack", "prod") == 1
    assert capsys.readouterr().err == (
        "error: make down stops the local cluster of dev; use make destroy\n"
    )
