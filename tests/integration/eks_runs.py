"""Runs of the real engine, step by step: those that a preview names, and those that `up` takes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.checkout import Checkout, identity
from tests.integration.eks_account import UNATTENDED

_UNSHOWN = ("same", "refresh", "read")
_PARTS = ("create-replacement", "delete-replaced")
"""Parts of a replacement, which has a step of its own."""


@dataclass(frozen=True)
class Plan:
    """A preview."""

    steps: dict[str, str]
    """Operations by `type::name`."""

    changed: dict[str, set[str]]
    """Paths of the properties that each update changes, likewise."""

    messages: str
    """All that it says, in one line."""


def plan(stack: Checkout) -> Plan:
    """Preview a stack."""
    ran = stack.pulumi("preview", "--json")
    digest = json.loads(ran.stdout)
    said = " ".join(message["message"] for message in digest.get("diagnostics", ()))
    assert ran.code == 0, said
    return Plan(
        _operations(digest["steps"]),
        {
            identity(step["urn"]): {*step.get("detailedDiff", ())}
            for step in digest["steps"]
            if step["op"] == "update"
        },
        " ".join(said.split()),
    )


def change(stack: Checkout, steps: Mapping[str, str]) -> Plan:
    """Preview exactly these steps, and let `up` take them and no other."""
    previewed = plan(stack)
    assert previewed.steps == steps
    events = stack.pulumi("up", *UNATTENDED, "--json").ok().stdout.splitlines()
    taken = [json.loads(event).get("resourcePreEvent") for event in events]
    assert _operations(event["metadata"] for event in taken if event) == steps
    return previewed


def _operations(steps: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    hidden = _UNSHOWN + _PARTS
    return {identity(step["urn"]): step["op"] for step in steps if step["op"] not in hidden}
