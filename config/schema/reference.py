"""The table of parameters in docs/parameters.md, and the refusal of the baseline's own numbers."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from config.base import PROJECT_FOLDER
from config.load import Refused, parse, read_stack_file
from config.schema.tree import join
from config.settings import Settings

BASELINE_FILE = PROJECT_FOLDER / "examples" / "seed" / "Pulumi.seed.yaml"
"""Stack file with the baseline's literal numbers, which is refused."""

_Schema = dict[str, Any]

_TABLES = tuple(f"inference[].{part}" for part in ("traffic", "triton", "gateway", "autoscaler"))

_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


class Row(NamedTuple):
    """One parameter."""

    path: str
    """Path, with `[]` for any item of a list."""

    kind: str
    """Type and bounds."""

    default: str
    """Default as in YAML; `required` for a parameter without one."""

    meaning: str
    """Description, with the unit where the name does not include it."""


def rows() -> list[Row]:
    """Return every parameter, in the order of the models."""
    schema = Settings.model_json_schema(by_alias=True)
    return list(_rows(schema, schema["$defs"], ""))


def _rows(section: _Schema, definitions: _Schema, path: str, only: str = "") -> Iterator[Row]:
    required = section.get("required", [])
    for key, parameter in section["properties"].items():
        below = join(path, key)
        arms = _arms(parameter, definitions)
        if key == "kind":
            continue
        if not arms:
            meaning = f"{parameter.get('description', '')}{only}"
            default = "required" if key in required else _yaml(_default(parameter))
            yield Row(below, _type(parameter), default, meaning)
            continue
        if parameter.get("type") == "array":
            below += "[]"
        if parameter.get("default", required) is None:
            yield Row(below, "mapping", "unset", f"{parameter['description']}{only}")
        if len(arms) > 1:
            kinds = [arm["properties"]["kind"] for arm in arms]
            choices = " ".join(f"`{k['const']}`: {k['description']}" for k in kinds)
            default = parameter.get("default", {}).get("kind", "required")
            yield Row(
                join(below, "kind"),
                " or ".join(f"`{k['const']}`" for k in kinds),
                f"`{default}`",
                f"{parameter['description']} {choices}{only}",
            )
        for arm in arms:
            kind = arm["properties"].get("kind", {}).get("const")
            among = f" Only with kind `{kind}`." if len(arms) > 1 else only
            yield from _rows(arm, definitions, below, among)


def _default(parameter: _Schema) -> object:
    return {} if parameter.get("type") == "object" else parameter.get("default")


def _arms(parameter: _Schema, definitions: _Schema) -> list[_Schema]:
    """Return the sections that a parameter may hold; none for a scalar."""
    held = parameter.get("items", parameter)
    options: list[_Schema] = held.get("oneOf") or held.get("anyOf") or [held]
    names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
    return [definitions[name] for name in names]


def _type(parameter: _Schema) -> str:
    options: list[_Schema] = parameter.get("anyOf", [parameter])
    held = next(option for option in options if option.get("type") != "null")
    if "enum" in held:
        return " or ".join(f"`{choice}`" for choice in held["enum"])
    name = {"array": "list", "object": "mapping"}.get(held["type"], str(held["type"]))
    if name == "list":
        return f"list of {_type(held['items'])}"
    bounds = [f"{sign} {_plain(held[bound])}" for bound, sign in _BOUNDS.items() if bound in held]
    return " ".join([name, ", ".join(bounds)]).strip()


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _yaml(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{_plain(value)}`"
    if isinstance(value, list):
        return f"`[{', '.join(str(item) for item in cast('list[object]', value))}]`"
    if value == "":
        return '`""`'
    return f"`{value}`" if value != {} else "`{}`"


def _cell(text: str) -> str:
    """Return a text on one line, with bars escaped: both would end a cell in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def parameter_tables() -> str:
    """Return the Markdown tables of all parameters, one for each part of the configuration."""
    tables: dict[str, list[str]] = {}
    for row in rows():
        title = next((t for t in _TABLES if row.path.startswith(t)), row.path.partition(".")[0])
        shown = row.path.removeprefix(title).lstrip(".") or row.path
        cells = (f"`{shown}`", row.kind, row.default, row.meaning)
        line = " | ".join(map(_cell, cells))
        tables.setdefault(title, []).append(f"| {line} |")
    head = "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    return "\n\n".join(
        f"**`{title}`**\n\n{head}\n" + "\n".join(lines) for title, lines in tables.items()
    )


def baseline_refusal() -> str:
    """Return the refusal of the baseline's own numbers.

    Raises:
        AssertionError: The program accepted them.
    """
    try:
        parse(read_stack_file(BASELINE_FILE), source="stack seed")
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"{BASELINE_FILE} was accepted")
