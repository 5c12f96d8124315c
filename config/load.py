"""Readers of the parameters: from Pulumi's configuration, a stack file, or plain values.

All of them refuse the same faults, all at once and before anything is touched.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret
from pydantic import ValidationError

from config.base import PROJECT
from config.checks import run
from config.deprecated import rewrite
from config.files.stack_file import StackFileError, decoded
from config.files.stack_file import read as read_file
from config.inherited import inherited
from config.model_folders import model_folder
from config.problem import Problem
from config.schema.errors import no_secret, schema_problems
from config.schema.tree import fields, shape
from config.settings import Settings
from config.sizing.capacity import summary

_UNSTATED: dict[str, object] = {
    key: [] if shape(field.annotation).many else {}
    for key, field in fields(Settings).items()
    if shape(field.annotation).models
}
"""Default of each structured key in Pulumi.yaml: nothing stated."""

_FOREIGN_NAMESPACES = frozenset({"aws", "kubernetes", "pulumi"})

_MISSPELT = 0.8


class Refused(pulumi.RunError):
    """The parameters cannot work; nothing was touched. The engine prints it without a traceback."""

    problems: tuple[Problem, ...]
    """Problems in the order in which they are printed."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        lines = [f"{source}: {count}, nothing was touched (keys under {PROJECT}:)"]
        lines += [f"  {problem}".replace("\n", "\n  ") for problem in problems]
        super().__init__("\n".join(lines))


def require(source: str, problems: Iterable[Problem]) -> None:
    """Raise `Refused` if any problem has severity `refuse`.

    Raises:
        Refused: With every such problem.
    """
    refused = [problem for problem in problems if problem.severity == "refuse"]
    if refused:
        raise Refused(source, refused)


def parse(raw: Mapping[str, object], *, source: str = "parameters") -> Settings:
    """Turn plain values into settings that have passed every check that refuses.

    Args:
        raw: Values by top-level key (`tier`, `inference`, ...), as YAML or JSON would read them.
        source: Origin of the values, for the message.

    Raises:
        Refused: Something is misspelt, mistyped or cannot work.
    """
    return _checked(raw, source)[0]


def warnings(settings: Settings) -> list[Problem]:
    """Return the problems that do not refuse the parameters."""
    return [problem for problem in run(settings) if problem.severity == "warn"]


def load(config: pulumi.Config | None = None) -> Settings:
    """Read the stack's configuration, print warnings and the capacity summary.

    Args:
        config: The project's configuration; Pulumi's own where None.

    Raises:
        Refused: Something is misspelt, mistyped or cannot work.
    """
    config = config or pulumi.Config()
    values = _pulumi_values(config.name)
    encrypted = [key for key in values if is_config_secret(f"{config.name}:{key}")]
    settings, found = _checked(values, f"stack {pulumi.get_stack()}", encrypted)
    for problem in found:
        pulumi.log.warn(str(problem))
    for stack in settings.inference:
        pulumi.log.info(summary(settings, stack))
    return settings


def read_stack_file(path: Path) -> dict[str, object]:
    """Read a `Pulumi.<stack>.yaml` without Pulumi; `parse` takes what this returns.

    Raises:
        Refused: The engine would not read the file; names the line.
    """
    try:
        values = read_file(path)
    except StackFileError as error:
        raise Refused(str(path), [_unreadable(path, str(error))]) from None
    return _ours(values, PROJECT)


def _unreadable(path: Path, why: str) -> Problem:
    return Problem(
        check="file",
        severity="refuse",
        keys={"file": path.name},
        reason=why,
        fix="correct the file",
    )


def _pulumi_values(project: str) -> dict[str, object]:
    """Return the configuration of the project from the engine or from mocks."""
    known = {**get_config_env(), **CONFIG.get()}
    values = _ours(known, project)
    return {key: decoded(key, value) for key, value in values.items()}


def _ours(values: Mapping[str, object], project: str) -> dict[str, object]:
    """Return the project's values by key; a key without a namespace is the project's, as in Pulumi.

    A key with a namespace that is close to the project's keeps it, and is refused as unknown.
    """
    ours: dict[str, object] = {}
    for key, value in values.items():
        namespace, _, name = key.rpartition(":")
        if namespace in ("", project):
            ours[name] = value
        elif namespace not in _FOREIGN_NAMESPACES and difflib.get_close_matches(
            namespace, [project], cutoff=_MISSPELT
        ):
            ours[key] = value
    return ours


def _checked(
    raw: Mapping[str, object], source: str, encrypted: Iterable[str] = ()
) -> tuple[Settings, list[Problem]]:
    stated = {
        key: value
        for key, value in raw.items()
        if not (key in fields(Settings) and (value is None or value == _UNSTATED.get(key)))
    }
    rewritten = rewrite(stated)
    source = f"{source} (tier {stated.get('tier', Settings.model_fields['tier'].default)})"
    secrets = [no_secret(key) for key in encrypted]
    try:
        settings = inherited(
            Settings.model_validate_json(
                json.dumps(rewritten.values, default=str), strict=True, by_alias=True, by_name=False
            )
        )
    except ValidationError as error:
        found = [rewritten.as_stated(problem) for problem in schema_problems(error)]
        raise Refused(source, [*secrets, *found]) from None
    checked = map(rewritten.as_stated, [*run(settings), *model_folder.run(settings)])
    found = [*secrets, *rewritten.warnings, *checked]
    require(source, found)
    return settings, found
