"""The token of each call comes from a file or a command, and nothing prints it."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eventflow.cli import app
from eventflow.errors import EventFlowError
from eventflow.options import CallOptions
from hostile_server import Peer, hostile_thread, ok, serving

TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
ENDPOINT = "127.0.0.1:8080"
PRINTED = f"{sys.executable} -c \"print('{TOKEN}')\""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def test_a_token_from_a_file_or_a_command_is_the_calls_bearer(file: Path) -> None:
    wanted = (("a", "b"), ("authorization", f"Bearer {TOKEN}"))
    metadata = ["a=b"]
    from_file = CallOptions(endpoint=ENDPOINT, metadata=metadata, token_file=file)
    from_command = CallOptions(endpoint=ENDPOINT, metadata=metadata, token_command=PRINTED)
    assert from_file.target().metadata == from_command.target().metadata == wanted
    assert CallOptions(endpoint=ENDPOINT).target().metadata == ()


def refusal(**options: object) -> str:
    with pytest.raises(EventFlowError) as refused:
        CallOptions(endpoint=ENDPOINT, **options).target()  # pyright: ignore[reportArgumentType]
    return str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb", "ä"])
def test_a_file_without_one_token_is_refused_and_not_shown(file: Path, text: str) -> None:
    file.write_text(text)
    assert "expected one token" in refusal(token_file=file)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-command", "no-such-command"),
        ("false", "ended with 1"),
        ("true", "expected one token"),
        ("'", "No closing quotation"),
        (" ", "list index"),
    ],
)
def test_a_command_without_a_token_is_refused(command: str, why: str) -> None:
    assert why in refusal(token_command=command)


def test_a_missing_file_and_two_sources_are_refused(file: Path) -> None:
    assert "No such file" in refusal(token_file=file.parent / "none")
    assert "give one of them" in refusal(token_file=file, token_command=PRINTED)


def test_the_report_of_a_burst_does_not_hold_the_token(file: Path) -> None:
    def reply(peer: Peer, stream: int) -> None:
        peer.reply(stream, ok(stream))

    with hostile_thread(serving(reply)) as server:
        endpoint = f"127.0.0.1:{server.port}"
        options = ["-n", "5", "--json", "-", "--token-file", str(file)]
        result = CliRunner().invoke(app, ["burst", endpoint, *options])
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output
