"""The editors' schema says what the program says, as far as a schema can.

It knows single values; what several of them make together is the checks' to say.
"""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from config.base import PROJECT, PROJECT_FOLDER
from config.load import Refused, parse, read_stack_file
from config.schema.json_schema import EDITOR_LINE, SCHEMA_FILE, rendered, stack_schema
from tests.unit.test_config_words import WRONG

STACK_FILES = sorted(PROJECT_FOLDER.glob("Pulumi.*.yaml"))
EXAMPLES = sorted(PROJECT_FOLDER.glob("examples/*/Pulumi.*.yaml"))
KNOWN_TO_THE_PROGRAM_ONLY = ("10.0.0.0/16",)
"""Reasons that JSON Schema cannot state: it knows no address ranges."""


def test_the_committed_schema_is_current():
    """`python -m config.schema.json_schema` writes it."""
    assert SCHEMA_FILE.read_text() == rendered()


def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(stack_schema())


@pytest.mark.parametrize("file", [*STACK_FILES, *EXAMPLES], ids=lambda file: file.name)
def test_stack_files_validate_and_name_their_schema(file: Any):
    jsonschema.validate(yaml.safe_load(file.read_text()), stack_schema())
    up = "../" * len(file.relative_to(PROJECT_FOLDER).parents[:-1])
    assert file.read_text().splitlines()[0] == EDITOR_LINE.replace("=", f"={up}")


@pytest.mark.parametrize("file", STACK_FILES, ids=lambda file: file.name)
def test_the_projects_own_stack_files_are_accepted(file: Any):
    parse(read_stack_file(file), source=file.name)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(raw, reason) for raw, _, reason, _ in WRONG],
    ids=[now for _, now, _, _ in WRONG],
)
def test_an_editor_marks_what_the_program_refuses(raw: dict[str, object], reason: str):
    accepted = jsonschema.Draft7Validator(stack_schema()).is_valid({"config": raw})
    assert accepted == any(known in reason for known in KNOWN_TO_THE_PROGRAM_ONLY)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"config": {}, "encryptionsalt": "v1:x", "secretsprovider": "awskms://x"},
        {"config": {"aws:region": "eu-central-1", "kubernetes:context": "x", "pulumi:tags": {}}},
        {"config": {f"{PROJECT}:platform": {}, "inference": [], "keda": {}, "prometheus": {}}},
    ],
    ids=json.dumps,
)
def test_what_pulumi_itself_writes_is_valid(content: dict[str, Any]):
    jsonschema.validate(content, stack_schema())


def test_a_default_that_is_spelt_out_is_valid_and_accepted():
    full = json.loads(parse({}).model_dump_json(by_alias=True))
    jsonschema.validate({"config": full}, stack_schema())
    assert parse(full) == parse({})


def test_the_schema_describes_every_parameter():
    for name, definition in stack_schema()["$defs"].items():
        for key, parameter in definition.get("properties", {}).items():
            assert parameter.get("description") or "$ref" in parameter, f"{name}.{key}"


def test_parse_refuses_what_is_valid_yaml_for_another_project():
    with pytest.raises(Refused):
        parse({"project:tier": "dev"})
