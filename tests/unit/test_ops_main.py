"""The command line itself; what a command does is shown with the command."""

import sys

import pytest

from ops.__main__ import main


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ops", *arguments])
    return main()


@pytest.mark.parametrize("command", ["up", "preview", "refresh", "destroy"])
def test_what_is_not_ours_to_know_is_passed_on_and_what_stops_it_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert _run(monkeypatch, command, "--stack", "nowhere", "--target", "x") == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("error: there is no Pulumi.nowhere.yaml; STACK names one of dev, ")


@pytest.mark.parametrize("command", ["cluster", "down", "outputs", "status", "env"])
def test_what_nobody_knows_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert _run(monkeypatch, command, "--target") == 2
    assert "--target" in capsys.readouterr().err


def test_only_dev_can_be_taken_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "down", "--stack", "prod") == 1
    assert capsys.readouterr().err == (
        "error: make down stops the local cluster of dev; use make destroy\n"
    )
