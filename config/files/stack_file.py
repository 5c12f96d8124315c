"""Reader of stack files that follows the engine (`LoadProjectStack` of Pulumi's SDK), without it.

Pulumi passes each value to the program as text: plain text unchanged, the rest as JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from config.base import PROJECT, is_encrypted
from config.files.go_yaml import GoYamlError, SpeltKey, decode

PLAIN_KEYS = frozenset({"tier"})
"""Keys whose value is text; the others hold JSON."""

_TEXTS = ("secretsprovider", "encryptedkey", "encryptionsalt")


class StackFileError(ValueError):
    """A file that the engine would not read; the message gives the reason and the place."""


def read(path: Path, project: str = PROJECT) -> dict[str, object]:
    """Read the configuration of a stack file.

    Args:
        path: Path of the file.
        project: Name of the Pulumi project, the namespace of a key without one.

    Returns:
        Values by full key (`kubemind-inference:tier`), as `decoded` returns them.

    Raises:
        StackFileError: The file is missing, or the engine does not read it or would choose
            between two spellings of one key.
    """
    try:
        content = decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise StackFileError(error.strerror or str(error)) from None
    except GoYamlError as error:
        raise StackFileError(str(error)) from None
    held = _mapping(content, "the file")
    for name in _TEXTS:
        if isinstance(held.get(name), list | dict):
            raise StackFileError(f"{name} must be text")
    values: dict[str, object] = {}
    for stated, value in _mapping(held.get("config"), "`config`").items():
        key = _full(stated, project)
        if key in values:
            raise StackFileError(f"the key {key} is repeated, in two spellings")
        values[key] = value if is_encrypted(value) else decoded(key, _text(value))
    return values


def decoded(key: str, value: object) -> object:
    """Decode the text that the engine holds for a value.

    Args:
        key: Key of the value, with or without a namespace.
        value: Text; any other value is returned unchanged.
    """
    if not isinstance(value, str):
        return value
    if not value:
        # The engine's text for null (it warns that this will change).
        return None
    if key.rpartition(":")[2] in PLAIN_KEYS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _full(key: str, project: str) -> str:
    """Return the key with its namespace.

    Raises:
        StackFileError: The engine does not accept it as a key.
    """
    match key.split(":"):
        case [name]:
            return f"{project}:{name}"
        case [namespace, name] | [namespace, "config", name]:
            return f"{namespace}:{name}"
        case _:
            raise StackFileError(f"{key} is not a key; keys are <namespace>:<name>")


def _mapping(content: object, name: str) -> Mapping[str, object]:
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise StackFileError(f"{name} must be a mapping")
    held = cast("Mapping[str, object]", content)
    for key in held:
        if isinstance(key, SpeltKey):
            raise StackFileError(f"a key of {name} must be text; put {key} into quotes")
    return held
