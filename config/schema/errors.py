"""Translation of pydantic's errors for users: the path in YAML, the value, the allowed values."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from config.base import ENCRYPTED, PROJECT, is_encrypted
from config.problem import Problem, text
from config.schema.tree import Located, choices, fields, join, kind_of, leaves, locate

_CLOSE = 0.6
_UNSET = object()
_KEY = "[key]"
"""Last step of pydantic's `loc` where a key of a mapping is wrong, not its value."""

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}

_KINDS_OF_VALUE = {
    "int_type": ("a whole number", "int"),
    "int_from_float": ("a whole number", "int"),
    "float_type": ("a number", "float"),
    "bool_type": ("true or false", "bool"),
}


def schema_problems(error: ValidationError) -> list[Problem]:
    """Translate every error of `Settings`' validation."""
    details = error.errors(include_url=False)
    return [_problem(detail) for detail in details if not _follows(detail, details)]


def no_secret(path: str) -> Problem:
    """Refuse an encrypted value: `make` reads the file alone, and would refuse it anyway."""
    return Problem(
        check="secrets",
        severity="refuse",
        keys={path: "a secret"},
        reason="secrets are not supported: values appear in plain text in the generated objects",
        fix="put the plain value in the stack file (pulumi config set without --secret)",
    )


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """Name the closest of the known words, or all of them."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(to_camel(str(word)).lower(), by_lower, n=1, cutoff=_CLOSE)
    if near:
        return f"did you mean {by_lower[near[0]]}?"
    return f"one of {', '.join(known)}"


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Return True if a list counts as too short only because one of its items is wrong."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details
    )


def _problem(detail: ErrorDetails) -> Problem:
    kind, value = detail["type"], detail["input"]
    loc = detail["loc"]
    if loc[-1] == ENCRYPTED:
        return no_secret(locate(loc[:-1], tagged=True).path)
    place = locate(loc[:-1] if loc[-1] == _KEY else loc, tagged=True)
    if is_encrypted(value):
        return no_secret(place.path)
    if kind == "extra_forbidden":
        return _unknown_key(detail, value)
    if kind.startswith("union_tag"):
        return _wrong_kind(place, value)
    if kind == "missing":
        about = f": {place.field.description}" if place.field else ""
        return _say(place.path, _UNSET, f"a value is needed{about}", "state it")
    if kind == "literal_error":
        allowed = [str(choice) for choice in choices(place.field and place.field.annotation)]
        return _say(
            place.path, value, f"must be one of {', '.join(allowed)}", _near(value, allowed)
        )
    reason, fix = _expected(detail, value)
    return _say(place.path, value, reason, fix)


def _say(path: str, value: object, reason: str, fix: str) -> Problem:
    shown = "null" if value is None else value
    if isinstance(value, str):
        shown = f'"{value}"'
    if isinstance(value, Mapping):
        shown = "a mapping"
    if isinstance(value, list):
        shown = "a list"
    if value is _UNSET:
        shown = None
    return Problem(check="schema", severity="refuse", keys={path: shown}, reason=reason, fix=fix)


def _near(value: object, allowed: Sequence[str]) -> str:
    meant = did_you_mean(value, allowed)
    return meant if meant.startswith("did") else f"choose {meant}"


def _unknown_key(detail: ErrorDetails, value: object) -> Problem:
    *above, key = detail["loc"]
    parent = locate(above, tagged=True)
    for model in parent.models:
        if key in model.removed:
            reason = f"is not a parameter any more: {model.removed[str(key)]}"
            return _say(join(parent.path, key), value, reason, "delete the key")
    known = sorted({name for model in parent.models for name in fields(model)})
    elsewhere = [leaf.path for leaf in leaves() if leaf.path.split(".")[-1] == key]
    meant = did_you_mean(key, known)
    if elsewhere:
        meant = f"did you mean {' or '.join(dict.fromkeys(elsewhere))}?"
    namespace, _, name = str(key).rpartition(":")
    if namespace:
        meant = f"did you mean {PROJECT}:{name}?"
    return _say(join(parent.path, key), value, "there is no such parameter", meant)


def _wrong_kind(place: Located, value: object) -> Problem:
    kinds = [kind_of(model) for model in place.models]
    if not isinstance(value, Mapping):
        return _say(place.path, value, "must be a mapping", f"state its kind: {', '.join(kinds)}")
    kind = cast("Mapping[str, object]", value).get("kind")
    path = join(place.path, "kind")
    if kind is None:
        return _say(path, _UNSET, "a kind is needed, or the rest cannot be read", _near("", kinds))
    return _say(path, kind, f"must be one of {', '.join(kinds)}", _near(kind, kinds))


def _expected(detail: ErrorDetails, value: object) -> tuple[str, str]:
    """Return the allowed values, and the way to write them."""
    kind = detail["type"]
    bounds: dict[str, Any] = detail.get("ctx", {})
    if kind in _BOUNDS:
        word, name = _BOUNDS[kind]
        return f"must be {word} {bounds[name]:g}", f"a number {word} {bounds[name]:g}"
    if kind in _KINDS_OF_VALUE:
        name, option = _KINDS_OF_VALUE[kind]
        quoted = isinstance(value, str) and value.replace(".", "", 1).isdigit()
        hint = f"without quotes (pulumi config set --path --type {option})"
        return f"must be {name}", f"write it {hint}" if quoted else f"write {name}"
    if kind == "string_type":
        scalar = isinstance(value, int | float)
        return "must be text", f'write "{text(value)}"' if scalar else "write text"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a mapping of parameters", "leave it out for all defaults"
    if kind == "tuple_type":
        return "must be a list", "write one item a line, each after `- `"
    if kind == "too_short":
        return f"needs at least {bounds['min_length']} item(s)", "add one"
    if kind == "too_long":
        return f"takes at most {bounds['max_length']} item(s)", "leave out the others"
    if kind == "string_pattern_mismatch":
        return f"must match {bounds['pattern']}", "write it so"
    if kind == "string_too_short":
        return "must not be empty", "state it"
    message = detail["msg"].removeprefix("Value error, ")
    return message, "write it so"
