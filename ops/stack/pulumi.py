"""The Pulumi CLI, run for one stack."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

from config.settings import Settings
from ops.errors import OpsError
from ops.stack.environment import StackEnvironment
from ops.stack.unfinished import lock_advice

_KIND = "4dabf18193072939515e22adb298388d"
"""Key that marks a special value in Pulumi's state (`resource.SigKey`)."""

_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a public constant
"""Signature of a secret (`resource.SecretSig`)."""

UNATTENDED = ("--yes", "--skip-preview")
"""Options of a change without a question to the user."""


def run(env: StackEnvironment, *arguments: str, check: bool = True) -> int:
    """Run `pulumi ARGUMENTS` in the user's terminal; Pulumi reports its own errors.

    Raises:
        SystemExit: The command failed and `check` is set; it has the command's exit code.
    """
    code, error_output = _run(env, *arguments)
    if code and not env.is_dev and (advice := lock_advice(env.stack, error_output)):
        print(advice, file=sys.stderr)
    if check and code:
        raise SystemExit(code)
    return code


def _run(env: StackEnvironment, *arguments: str) -> tuple[int, str]:
    """Run `pulumi ARGUMENTS`; return its exit code and its standard error.

    Standard output stays the user's terminal: Pulumi draws and asks there.
    """
    written: list[str] = []

    def forward(stream: IO[str]) -> None:
        for line in stream:
            written.append(line)
            sys.stderr.write(line)
            sys.stderr.flush()

    with subprocess.Popen(
        ["pulumi", *arguments],
        cwd=env.project,
        env=env.variables(),
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        if process.stderr is None:
            raise OpsError("no standard error to read")
        reader = threading.Thread(target=forward, args=(process.stderr,), daemon=True)
        reader.start()
        interrupted = False
        while process.poll() is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                # The terminal signals the engine too, which then closes the state cleanly.
                interrupted = True
        # A plugin that outlives the engine keeps the pipe open.
        reader.join(timeout=1)
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode, "".join(written)


def capture(env: StackEnvironment, *arguments: str) -> str:
    """Run `pulumi ARGUMENTS` and return its standard output.

    Raises:
        OpsError: The command failed; the message is its own.
    """
    result = subprocess.run(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=env.project,
        env=env.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        message = (result.stderr.strip() or result.stdout.strip()).removeprefix("error: ")
        raise OpsError(f"pulumi {arguments[0]} failed: {message}")
    return result.stdout


def change(env: StackEnvironment, settings: Settings, command: str, *arguments: str) -> None:
    """Run a command that changes the stack.

    On the local cluster Pulumi does not ask. Elsewhere the user confirms Pulumi's preview.

    Raises:
        SystemExit: The command failed; it has the command's exit code.
    """
    unattended = UNATTENDED if env.is_local(settings) else ()
    run(env, command, "--stack", env.stack, *unattended, *arguments)


def deployment(env: StackEnvironment, *, secrets: bool = False) -> dict[str, Any]:
    """Return the stack's state, such as its `resources`.

    Args:
        env: The stack.
        secrets: True to decrypt encrypted values; `unwrap` reads them.

    Raises:
        OpsError: The backend does not open.
    """
    shown = ("--show-secrets",) if secrets else ()
    exported = json.loads(capture(env, "stack", "export", "--stack", env.stack, *shown))
    return dict(exported["deployment"])


def outputs(held: Mapping[str, Any]) -> dict[str, object]:
    """Return the stack's outputs from the result of `deployment`, with secrets masked.

    So `up` asks Pulumi once for the outputs and the resources.
    """
    resources: list[dict[str, Any]] = held.get("resources") or []
    roots = [one for one in resources if one["type"] == "pulumi:pulumi:Stack"]
    found: dict[str, object] = roots[0].get("outputs", {}) if roots else {}
    return {name: _masked(value) for name, value in found.items()}


def unwrap(value: Any) -> Any:
    """Read a value of the state that may have been encrypted."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return json.loads(fields["plaintext"]) if fields.get(_KIND) == _SECRET else fields
    return value


def _masked(value: Any) -> object:
    if isinstance(value, list):
        return [_masked(item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        if fields.get(_KIND) == _SECRET:
            return "[secret]"
        return {name: _masked(item) for name, item in fields.items()}
    return value


def select_stack(env: StackEnvironment) -> None:
    """Select the stack; create it if it is dev and missing.

    Raises:
        OpsError: The stack does not exist, or its backend does not open. For other stacks than dev
            the message says how to create one.
    """
    create: Sequence[str] = ()
    if env.is_dev:
        env.backend_dir.mkdir(parents=True, exist_ok=True)
        create = ("--create",)
    try:
        capture(env, "stack", "select", env.stack, *create)
    except OpsError as error:
        if env.is_dev:
            raise
        raise OpsError(
            f"{error}\nBefore the first use, create the stack in a backend of your choice:"
            f'\n  eval "$(make -s env STACK={env.stack})"'
            "\n  pulumi login s3://your-state-bucket"
            f"\n  pulumi stack init {env.stack}"
        ) from None
