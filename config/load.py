"""Reading the parameters: from Pulumi's configuration, from a stack file, or from plain values.

Whatever the way in, the same things are refused, all at once and before anything is touched.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret
from pydantic import ValidationError

from config.base import PROJECT
from config.capacity import summary
from config.checks import run
from config.checks.problem import Problem
from config.schema_errors import no_secret, schema_problems
from config.settings import Settings
from config.shape import fields, shape

_PLAIN_KEYS = frozenset({"tier"})
"""Keys whose value is text; the others hold JSON, as Pulumi hands on structured configuration."""

_UNSTATED: dict[str, object] = {
    key: [] if shape(field.annotation).many else {}
    for key, field in fields(Settings).items()
    if shape(field.annotation).models
}
"""What Pulumi.yaml declares as the default of each structured key: nothing stated."""

_FOREIGN_NAMESPACES = frozenset({"aws", "kubernetes", "pulumi"})

_MISSPELT = 0.8


class Refused(pulumi.RunError):
    """The parameters cannot work; nothing was touched. The engine prints it without a traceback."""

    problems: tuple[Problem, ...]
    """What is wrong, in the order in which it is printed."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        lines = [f"{source}: {count}, nothing was touched (keys under {PROJECT}:)"]
        lines += [f"  {problem}".replace("\n", "\n  ") for problem in problems]
        super().__init__("\n".join(lines))


def require(source: str, problems: Iterable[Problem]) -> None:
    """Let nothing pass that refuses.

    Raises:
        Refused: with every such problem.
    """
    refused = [problem for problem in problems if problem.severity == "refuse"]
    if refused:
        raise Refused(source, refused)


def parse(raw: Mapping[str, object], *, source: str = "parameters") -> Settings:
    """Turn plain values into settings that have passed every check that refuses.

    Args:
        raw: Values by top-level key (`tier`, `inference`, ...), as YAML or JSON would read them.
        source: What the values are of, for the message.

    Raises:
        Refused: something is misspelt, mistyped or cannot work.
    """
    return _checked(raw, source)[0]


def warnings(settings: Settings) -> list[Problem]:
    """Return what is allowed and still worth knowing."""
    return [problem for problem in run(settings) if problem.severity == "warn"]


def load(config: pulumi.Config | None = None) -> Settings:
    """Read the stack's configuration, print warnings and the capacity summary.

    Args:
        config: The project's configuration; Pulumi's own where None.

    Raises:
        Refused: something is misspelt, mistyped or cannot work.
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
        Refused: the file is not YAML, or not a stack file, or a key is there twice.
    """
    try:
        content: object = yaml.load(path.read_text(), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except (OSError, yaml.YAMLError) as error:
        raise Refused(str(path), [_unreadable(path, " ".join(str(error).split()))]) from None
    held = _mapping(content)
    values = _mapping(held.get("config")) if held is not None else None
    if values is None:
        raise Refused(str(path), [_unreadable(path, "it has no mapping `config`")])
    return _ours(values, PROJECT)


def _mapping(content: object) -> Mapping[str, object] | None:
    if content is None:
        return {}
    return cast("Mapping[str, object]", content) if isinstance(content, Mapping) else None


def _unreadable(path: Path, why: str) -> Problem:
    return Problem(
        check="file",
        severity="refuse",
        keys={"file": path.name},
        reason=why,
        fix="correct the file",
    )


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice, as Pulumi does; YAML itself would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value} stands twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)


def _pulumi_values(project: str) -> dict[str, object]:
    """All configuration of the project as Pulumi knows it, under the engine or under mocks."""
    known = {**get_config_env(), **CONFIG.get()}
    values = _ours(known, project)
    return {key: value if key in _PLAIN_KEYS else _decoded(value) for key, value in values.items()}


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _ours(values: Mapping[str, object], project: str) -> dict[str, object]:
    """Values of the project's keys; a key without a namespace is the project's, as in Pulumi.

    A key under a namespace that is nearly the project's stays as it is, and is refused as unknown.
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
    source = f"{source} (tier {stated.get('tier', Settings.model_fields['tier'].default)})"
    secrets = [no_secret(key) for key in encrypted]
    try:
        settings = Settings.model_validate_json(
            json.dumps(stated, default=str), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        raise Refused(source, [*secrets, *schema_problems(error)]) from None
    found = [*secrets, *run(settings)]
    require(source, found)
    return settings, found
