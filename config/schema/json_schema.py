"""JSON schema of a `Pulumi.<stack>.yaml`; `python -m config.schema.json_schema` writes it."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from config.base import PROJECT, PROJECT_FOLDER
from config.schema.tree import fields, shape
from config.settings import Settings

SCHEMA_FILE = PROJECT_FOLDER / "config" / "schema.json"
"""Where the schema lies; stack files name it in their first line."""

EDITOR_LINE = "# yaml-language-server: $schema=config/schema.json"
"""First line of a stack file in the project's folder."""

_PULUMI_KEYS: dict[str, Any] = {
    "encryptionsalt": {"type": "string"},
    "encryptedkey": {"type": "string"},
    "secretsprovider": {"type": "string"},
    "environment": {"description": "Pulumi ESC environments."},
}

_OTHER_NAMESPACES = r"^(aws|kubernetes|pulumi):."


def stack_schema() -> dict[str, Any]:
    """Return the schema of a stack file: Pulumi's own keys, and this project's below `config`.

    Keys may go with or without the project's namespace, as Pulumi takes both.
    """
    settings = Settings.model_json_schema(by_alias=True)
    definitions = settings["$defs"]
    for definition in definitions.values():
        _require_kind(definition)
    properties: dict[str, Any] = {}
    for key, field in fields(Settings).items():
        held = shape(field.annotation)
        parameter: dict[str, Any] = settings["properties"][key]
        if held.many or len(held.models) > 1:
            # What Pulumi.yaml declares as the default: nothing stated.
            parameter = {"anyOf": [parameter, {"const": [] if held.many else {}}]}
        definitions[key] = parameter
        properties[key] = properties[f"{PROJECT}:{key}"] = {"$ref": f"#/$defs/{key}"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Stack file of {PROJECT}",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **_PULUMI_KEYS,
            "config": {
                "type": "object",
                "additionalProperties": False,
                "properties": properties,
                "patternProperties": {_OTHER_NAMESPACES: {}},
            },
        },
        "$defs": _without_titles(definitions),
    }


def _without_titles(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of field names: editors show the key itself."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    held = cast("dict[str, Any]", schema)
    return {
        key: _without_titles(value)
        for key, value in held.items()
        if key != "title" or not isinstance(value, str)
    }


def _require_kind(definition: dict[str, Any]) -> None:
    """A section that is chosen by its kind cannot be read without it, default or not."""
    if "kind" in definition["properties"]:
        definition["required"] = sorted({"kind", *definition.get("required", [])})


def rendered() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(stack_schema(), indent=2) + "\n"


def main(path: Path = SCHEMA_FILE) -> None:
    """Write the schema."""
    path.write_text(rendered())
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
