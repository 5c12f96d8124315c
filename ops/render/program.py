"""A run of the program under mocks, which records the declared resources."""

import asyncio
import contextlib
import contextvars
import json
import logging
import os
import runpy
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import test  # pyright: ignore[reportUnknownVariableType]
from pulumi.runtime.rpc import is_rpc_secret, unwrap_rpc_secret

from config.base import is_encrypted
from config.files.stack_file import StackFileError, read
from ops.errors import OpsError
from ops.render.placeholders import (
    PLACEHOLDER,
    computed_outputs,
    looked_up,
    platform_outputs,
)
from ops.stack.environment import PROJECT


class RenderError(OpsError):
    """An error that stops a render."""


@dataclass(frozen=True)
class Declared:
    """One resource that the program declares."""

    type: str
    """Type token, such as `kubernetes:apps/v1:Deployment`."""

    name: str
    """Logical name."""

    inputs: dict[str, Any]
    """Inputs, with whole numbers as `int`."""

    secret: frozenset[str] = frozenset()
    """Names of inputs that contain a secret."""


@dataclass
class Recorder(Mocks):
    """Mocks that record every custom resource and answer known functions."""

    declared: list[Declared] = field(default_factory=list[Declared])

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Record a resource; return placeholders for its computed outputs."""
        inputs = cast("dict[str, object]", args.inputs)  # pyright: ignore[reportUnknownMemberType]
        identifier = args.resource_id or f"{args.name}-id"
        if args.typ == "pulumi:pulumi:StackReference":
            return identifier, {
                **inputs,
                "outputs": platform_outputs(),
                "secretOutputNames": [],
            }
        if args.typ == "pulumi:index:Stash":
            return identifier, {**inputs, "output": inputs["input"]}
        if args.custom and not args.typ.startswith("pulumi:"):
            secret = frozenset(key for key, value in inputs.items() if is_rpc_secret(value))
            known = {key: plain(value) for key, value in inputs.items()}
            self.declared.append(Declared(args.typ, args.name, known, secret))
        return identifier, {**computed_outputs(args.typ, args.name), **inputs}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Answer a function of a provider with placeholders.

        Raises:
            RenderError: The function has no placeholder.
        """
        groups = [item.inputs for item in self.declared if item.type.endswith(":NodeGroup")]
        arguments = cast("dict[str, Any]", args.args)  # pyright: ignore[reportUnknownMemberType]
        answer = looked_up(args.token, arguments, groups)
        if answer is None:
            raise RenderError(
                f"the program calls {args.token}, and a render has no provider to answer it"
            )
        return answer, []


def plain(value: object) -> object:
    """Return a recorded value as plain data.

    Pulumi transports every number as a double, so whole numbers become `int` again: Kubernetes,
    Helm values and AWS inputs have no whole number that must stay a float.
    """
    value = unwrap_rpc_secret(value)
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: plain(item) for key, item in items if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def stack_config(stack: str, project: Path = PROJECT) -> tuple[dict[str, str], list[str]]:
    """Return the configuration of a stack as the engine passes it to the program.

    Returns:
        Values by `namespace:key`, structured ones as JSON; and the keys of secrets.

    Raises:
        RenderError: There is no such stack, or the engine would refuse its file.
    """
    file = project / f"Pulumi.{stack}.yaml"
    if not file.exists():
        known = ", ".join(sorted(path.name.split(".")[1] for path in project.glob("Pulumi.*.yaml")))
        raise RenderError(f"there is no {file.name} in {project}; the stack is one of {known}")
    project_name = _read(project / "Pulumi.yaml")["name"]
    values: dict[str, str] = {}
    secrets: list[str] = []
    for key, item in _config(project / "Pulumi.yaml").items():
        default: Any = item
        if isinstance(item, dict):
            declaration = cast("dict[str, Any]", item)
            default = declaration.get("value", declaration.get("default"))
        if default is not None:
            values[_qualified(key, project_name)] = _as_text(default)
    try:
        stated = read(file, project_name)
    except StackFileError as error:
        raise RenderError(f"{file.name}: {error}") from None
    for qualified, item in stated.items():
        if is_encrypted(item):
            # A render has no passphrase to decrypt it.
            values[qualified] = PLACEHOLDER
            secrets.append(qualified)
        else:
            values[qualified] = "" if item is None else _as_text(item)
    return values, secrets


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(file.read_text()) or {})


def _config(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", _read(file).get("config") or {})


def _qualified(key: str, project_name: str) -> str:
    return key if ":" in key else f"{project_name}:{key}"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def declare(stack: str, project: Path = PROJECT) -> list[Declared]:
    """Run the program with a stack's configuration under mocks.

    The run reaches no engine, no cluster and no AWS. Values that only they know (an ARN, outputs of
    the platform's stack) are placeholders.

    Returns:
        Every custom resource, sorted by type and name.

    Raises:
        RenderError: There is no such stack, or the program calls an unknown function.
        pulumi.RunError: The program refused its configuration.
    """
    values, secrets = stack_config(stack, project)
    project_name = _read(project / "Pulumi.yaml")["name"]
    recorder = Recorder()

    def run() -> None:
        with _event_loop(), _in(project):
            set_all_config(values, secrets)
            set_mocks(
                recorder,
                project=project_name,
                stack=stack,
                preview=False,
                logger=_log(),
                organization=PLACEHOLDER,
            )
            test(lambda: (runpy.run_path(str(project / "__main__.py")), None)[1])()

    # An empty context isolates the settings of this run from those of others.
    contextvars.Context().run(run)
    return sorted(recorder.declared, key=lambda item: (item.type, item.name))


def _log() -> logging.Logger:
    logger = logging.getLogger("kubemind.render")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


@contextlib.contextmanager
def _event_loop() -> Generator[None]:
    # Pulumi's mocks use the thread's event loop, and an earlier `asyncio.run` leaves none.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@contextlib.contextmanager
def _in(project: Path) -> Generator[None]:
    # The language host does the same: the program runs in and imports from its folder.
    before = Path.cwd()
    os.chdir(project)
    sys.path.insert(0, str(project))
    try:
        yield
    finally:
        sys.path.remove(str(project))
        os.chdir(before)
