"""The parameters as a tree: the keys of each place in a stack file, and the type of each value.

Error messages, the reference tables and changed copies walk the models through this module, so
that no key is written twice.
"""

import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union

from pydantic.fields import FieldInfo

from config.base import Section
from config.settings import Settings

Step = str | int
"""One step of a path: a key, or an index into a list."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Shape(NamedTuple):
    """Type of one parameter."""

    models: tuple[type[Section], ...]
    """Sections that it may hold, told apart by `kind` if there are several; none for a scalar."""

    many: bool
    """True for a list."""

    scalar: object
    """Type of the value, or of an item of a list, if it does not hold a section."""

    optional: bool
    """True if `null` is allowed: the value is then derived or absent."""


def shape(annotation: object) -> Shape:
    """Take a field's annotation apart."""
    if typing.get_origin(annotation) is Annotated:
        return shape(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is tuple:
        return shape(typing.get_args(annotation)[0])._replace(many=True)
    if typing.get_origin(annotation) in (Union, types.UnionType):
        arms = [shape(arm) for arm in typing.get_args(annotation) if arm is not type(None)]
        models = tuple(model for arm in arms for model in arm.models)
        optional = type(None) in typing.get_args(annotation)
        return arms[0]._replace(models=models, optional=optional)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Shape((annotation,), many=False, scalar=None, optional=False)
    return Shape((), many=False, scalar=annotation, optional=False)


def fields(model: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a section by their YAML keys."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def kind_of(model: type[Section]) -> str:
    """Return the `kind` that selects a section among others; empty for a section without one."""
    info = model.model_fields.get("kind")
    return str(choices(info.annotation)[0]) if info else ""


def choices(annotation: object) -> tuple[Any, ...]:
    """Return the values of a parameter with a closed set of them; empty for other parameters."""
    scalar = shape(annotation).scalar
    return typing.get_args(scalar) if typing.get_origin(scalar) is Literal else ()


def join(path: str, step: Step) -> str:
    """Add a step to a path, as in `inference[0].gateway`."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def split(path: str) -> list[Step]:
    """Take a path such as `inference[0].gateway` apart.

    Raises:
        ValueError: The text is not a path.
    """
    if _STEP.sub("", path).strip("."):
        raise ValueError(f"not a path: {path}")
    return [int(index) if index else key for key, index in _STEP.findall(path)]


class Located(NamedTuple):
    """A place in the tree."""

    path: str
    """Path as a user writes it."""

    models: tuple[type[Section], ...]
    """Sections that the place may hold; empty at a scalar or an unknown key."""

    field: FieldInfo | None
    """Parameter of the place; None at the root and at an unknown key."""


def locate(steps: Sequence[Step], *, tagged: bool = False) -> Located:
    """Follow steps from the root.

    Args:
        steps: Keys and indices.
        tagged: True if the tag of a union's member follows its key, as in pydantic's `loc`.
    """
    path = ""
    models: tuple[type[Section], ...] = (Settings,)
    field: FieldInfo | None = None
    for step in steps:
        if isinstance(step, int):
            path = join(path, step)
        elif tagged and len(models) > 1:
            models = tuple(model for model in models if kind_of(model) == step)
        else:
            path = join(path, step)
            found = [known[step] for model in models if step in (known := fields(model))]
            field = found[0] if found else None
            models = shape(field.annotation).models if field else ()
    return Located(path, models, field)


class Leaf(NamedTuple):
    """One parameter that holds a value."""

    path: str
    """Path, with `[]` for any item of a list."""

    kinds: str
    """Required `kind` of the nearest union above; empty if there is no union."""

    field: FieldInfo
    """Parameter."""


def leaves(model: type[Section] = Settings, path: str = "", kinds: str = "") -> Iterator[Leaf]:
    """Walk all parameters in the order of the models."""
    for key, info in fields(model).items():
        held = shape(info.annotation)
        below = join(path, key) + ("[]" if held.many and held.models else "")
        if not held.models:
            yield Leaf(below, kinds, info)
        for arm in held.models:
            yield from leaves(arm, below, kind_of(arm) if len(held.models) > 1 else kinds)
