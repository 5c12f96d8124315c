"""Exceptions from rules for an object, each with a reason; unneeded ones are reported."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.errors import OpsError
from ops.stack.environment import PROJECT
from ops.validate.schema import Finding

EXCEPTIONS_FILE = PROJECT / "tests" / "static" / "exceptions.yaml"


Pair = tuple[str, str, str]
"""A tool, a rule and a resource."""


class ExceptionsError(OpsError):
    """An exceptions file that cannot be read."""

    exit_code = 2


class RuleException(BaseModel):
    """Rules of one tool that some objects may break, with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: Literal["schema", "kube-score", "checkov"]
    rules: tuple[str, ...] = Field(min_length=1)
    resources: tuple[str, ...] = Field(min_length=1)
    """Resources as `Kind/namespace/name`, or `Kind/name` if cluster-scoped."""
    stacks: tuple[str, ...] = ()
    """Stacks in which it applies; all if empty."""
    reason: str = Field(min_length=20)

    @property
    def pairs(self) -> list[Pair]:
        """Each (tool, rule, resource) that it covers."""
        return [(self.tool, rule, resource) for resource in self.resources for rule in self.rules]

    def holds_in(self, stack: str) -> bool:
        """Return True if it applies to a stack."""
        return not self.stacks or stack in self.stacks


class ExceptionsFile(BaseModel):
    """Contents of the file of exceptions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exceptions: tuple[RuleException, ...] = ()


@dataclass
class Verdict:
    """Findings of the validators, split by the exceptions."""

    failures: list[tuple[str, Finding]] = field(default_factory=list[tuple[str, Finding]])
    """Each (stack, finding) that no exception covers."""

    excepted: list[tuple[str, Finding]] = field(default_factory=list[tuple[str, Finding]])
    """Each (stack, finding) that an exception covers."""

    unused: list[str] = field(default_factory=list[str])
    """Messages about exceptions that cover nothing."""

    @property
    def passed(self) -> bool:
        """True if there is no failure and no unused exception."""
        return not self.failures and not self.unused


def load_exceptions(file: Path = EXCEPTIONS_FILE) -> tuple[RuleException, ...]:
    """Read the exceptions.

    Raises:
        ExceptionsError: The file does not have the right form.
    """
    try:
        return ExceptionsFile.model_validate(yaml.safe_load(file.read_text()) or {}).exceptions
    except (OSError, ValidationError, yaml.YAMLError) as error:
        raise ExceptionsError(f"{file.name}: {error}") from None


def judge(
    found: Mapping[str, Sequence[Finding]],
    resources: Mapping[str, Iterable[str]],
    exceptions: Sequence[RuleException],
    *,
    partial: bool = False,
) -> Verdict:
    """Split findings by the exceptions, and find unneeded exceptions.

    An exception must be needed in every stack that has its object. Unless `partial` is set, one of
    the stacks must have the object.

    Args:
        found: Findings by stack.
        resources: All objects of each stack, as `Kind/namespace/name`.
        exceptions: The exceptions.
        partial: True if the exceptions are for further stacks too.
    """
    verdict = Verdict()
    for stack, findings in found.items():
        pairs = {pair for item in exceptions if item.holds_in(stack) for pair in item.pairs}
        broken = {(item.tool, item.rule, item.resource) for item in findings}
        held = set(resources[stack])
        for item in sorted(findings):
            covered = (item.tool, item.rule, item.resource) in pairs
            (verdict.excepted if covered else verdict.failures).append((stack, item))
        verdict.unused += [
            f"{stack}: {resource} no longer breaks {rule} ({tool}); delete the exception"
            for tool, rule, resource in sorted(pairs - broken)
            if resource in held
        ]
    if not partial:
        verdict.unused += [
            f"no stack has {resource}; delete its exception from {', '.join(exception.rules)}"
            for exception in exceptions
            for resource in exception.resources
            if not any(
                resource in held for stack, held in resources.items() if exception.holds_in(stack)
            )
        ]
    return verdict
