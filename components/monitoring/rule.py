"""One alert, and what several alerts share."""

from dataclasses import dataclass
from typing import Literal

from components.gateway.envoy.stats import selector

POD_LABEL = "pod"
"""Label with the name of the scraped pod, as the Prometheus operator sets it."""

RESTARTS = 2
"""Restarts of a container in half an hour that may have passing causes."""


@dataclass(frozen=True)
class Rule:
    """An alert, of which the text may use Prometheus's templates."""

    name: str
    expression: str
    seconds: float
    severity: Literal["critical", "warning"]
    summary: str


def pods(deployment: str, labels: dict[str, str]) -> str:
    """Return the selector of series of a Deployment's pods."""
    pods = f'{POD_LABEL}=~"{deployment}-.+"'
    return selector(labels).removesuffix("}") + f",{pods}}}"
