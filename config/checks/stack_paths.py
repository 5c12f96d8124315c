"""The inference stacks with their paths, and the search for a change that passes."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from config.schema.overrides import with_overrides
from config.sections.inference import InferenceStack
from config.settings import Settings


@dataclass(frozen=True)
class StackAt:
    """One inference stack, with its place in the parameters."""

    index: int
    """Index in `inference`."""

    stack: InferenceStack
    """The stack."""

    def key(self, path: str) -> str:
        """Return the YAML path of one of the stack's parameters."""
        return f"inference[{self.index}].{path}"


def stacks(settings: Settings) -> Iterator[StackAt]:
    """Walk the inference stacks."""
    for index, stack in enumerate(settings.inference):
        yield StackAt(index, stack)


def first_passing(
    settings: Settings,
    candidates: Iterable[Mapping[str, object]],
    passes: Callable[[Settings], bool],
) -> Mapping[str, object]:
    """Return the first change with which the settings pass; empty if there is none."""
    for change in candidates:
        try:
            after = with_overrides(settings, change)
        except ValidationError:
            continue
        if passes(after):
            return change
    return {}


def smallest_passing(
    settings: Settings, key: str, numbers: range, passes: Callable[[Settings], bool]
) -> dict[str, object]:
    """Return the change of a key to the first of `numbers` that passes.

    Args:
        settings: The settings to change.
        key: Path of a number that passes from some value on, in the order of `numbers`.
        numbers: Values to choose from; a falling range finds the largest one.
        passes: Function that returns True for changed settings that pass.
    """

    def allowed_and_passes(value: int) -> bool:
        return bool(first_passing(settings, [{key: value}], passes))

    found = bisect_left(numbers, True, key=allowed_and_passes)
    return {key: numbers[found]} if found < len(numbers) else {}
