"""Checks, their findings, and the messages of findings."""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from config.schema.overrides import with_overrides
from config.settings import Settings

_COLUMNS = 96
_CREDENTIALS = re.compile(r"//[^/]*@")

Severity = Literal["refuse", "warn"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A finding of a check: keys with their values, the reason, and the fix."""

    keys: Mapping[str, object]
    """YAML keys (`inference[0].gateway.replicas`) with their stated or derived values."""

    reason: str
    """Consequence, with the numbers."""

    fix: str = ""
    """Fix; derived from `change` if empty."""

    change: Mapping[str, object] = field(default_factory=dict[str, object])
    """The smallest change of keys with which the check passes (None unsets a key); empty where
    only the user can know it."""


@dataclass(frozen=True, kw_only=True)
class Problem(Finding):
    """A finding, and how serious it is."""

    check: str
    """Name of the check, such as `reach`."""

    severity: Severity
    """`refuse` stops the run before anything is touched; `warn` is printed."""

    def __str__(self) -> str:
        """Return the message as it is printed: reason, every key, and the fix; wrapped."""
        keys = [f"{key} = {text(value)}" for key, value in self.keys.items()]
        how = self.fix or " and ".join(
            f"unset {key}" if value is None else f"set {key} to {text(value)}"
            for key, value in self.change.items()
        )
        now, fix = "    now: ", "    fix: "
        return "\n".join(
            (
                _wrapped(f"{self.check}: {self.reason}", "", "    "),
                now + f"\n{' ' * len(now)}".join(keys),
                _wrapped(how, fix, " " * len(fix)),
            )
        )


@dataclass(frozen=True, kw_only=True)
class Check:
    """A rule on the whole of the parameters, of one severity."""

    name: str
    """Name in messages."""

    severity: Severity
    """Severity of each of its findings."""

    look: Callable[[Settings], Iterable[Finding]]
    """Function that yields the findings."""

    def run(self, settings: Settings) -> list[Problem]:
        """Return its findings as problems, without changes that are not allowed."""
        return [
            Problem(check=self.name, severity=self.severity, **vars(_feasible(settings, finding)))
            for finding in self.look(settings)
        ]


def _feasible(settings: Settings, finding: Finding) -> Finding:
    try:
        with_overrides(settings, finding.change)
    except ValidationError:
        keys = " and ".join(finding.change)
        fix = finding.fix or f"no allowed value of {keys} is enough: change another of these keys"
        return replace(finding, change={}, fix=fix)
    return finding


def refuse(look: Callable[[Settings], Iterable[Finding]]) -> Check:
    """Make a function a check that refuses; its name in messages is the function's."""
    return Check(name=to_camel(look.__name__), severity="refuse", look=look)


def warn(look: Callable[[Settings], Iterable[Finding]]) -> Check:
    """Make a function a check that warns; its name in messages is the function's."""
    return Check(name=to_camel(look.__name__), severity="warn", look=look)


def _wrapped(line: str, first: str, rest: str) -> str:
    return textwrap.fill(
        line,
        width=_COLUMNS,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def derived(key: str) -> str:
    """Mark a key as derived, not stated."""
    return f"{key} (derived)"


def number(value: float) -> str:
    """Format a number for a message, with at most six digits and no trailing zeros."""
    return f"{value:.0f}" if abs(value) >= 1e5 else f"{value:.6g}"


def text(value: object) -> str:
    """Format a value as in YAML; `unset` for None."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        # Keep a password in a URL out of logs.
        return _CREDENTIALS.sub("//***@", value) if value else '""'
    return json.dumps(value)
