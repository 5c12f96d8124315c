"""The KEDA ScaledObject: bounds, signal, and speed of the fleet."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.base import Section

HPA_SYNC_SECONDS = 15.0
"""Interval of the HPA's decisions (kube-controller-manager's default; fixed on EKS)."""

HPA_TOLERANCE = 0.1
"""Deviation that the HPA ignores (kube-controller-manager's default)."""

_REMOVED = {
    "refusedSeconds": "`autoscaler.signal.refusedSeconds` takes its place",
    "rateWindowSeconds": "`autoscaler.signal.rateWindowSeconds` takes its place",
}


class Demand(Section):
    """The calls in flight, and those that would be if the gateway had not refused them."""

    counts_refusals: ClassVar[bool] = True

    kind: Literal["demand"] = "demand"
    """Calls in flight plus refused calls."""

    refused_seconds: float | None = Field(default=None, ge=0.0001, le=3600)
    """Weight of each refused call a second in the signal: the time that it would have spent with a
    replica. If unset, derived for a replica that holds `threshold` calls."""

    rate_window_seconds: float | None = Field(default=None, ge=1, le=3600)
    """Window of the refusal rate; three scrapes if unset."""


class InFlight(Section):
    """The calls in flight alone."""

    counts_refusals: ClassVar[bool] = False

    kind: Literal["inFlight"]
    """The gateway's calls in flight alone."""

    refused_seconds: ClassVar[float | None] = None
    rate_window_seconds: ClassVar[float | None] = None


Signal = Demand | InFlight


class ScaleUp(Section):
    """Speed of the fleet's growth."""

    pods: int | None = Field(default=None, ge=1, le=5000)
    """Pods added per period; the whole range from min to max if unset."""

    period_seconds: int = Field(default=15, ge=1, le=1800)
    """Length of a period."""

    stabilization_seconds: int = Field(default=0, ge=0, le=3600)
    """Time for which a higher demand must last."""


class ScaleDown(Section):
    """Speed of the fleet's shrinking, after the cooldown (its stabilisation window) has passed."""

    pods: int = Field(default=1, ge=1, le=5000)
    """Pods removed per period."""

    period_seconds: int = Field(default=60, ge=1, le=1800)
    """Length of a period."""


class Autoscaler(Section):
    """The fleet's bounds and the signal that moves it between them."""

    removed: ClassVar[Mapping[str, str]] = _REMOVED

    min_replicas: int = Field(default=2, ge=1, le=5000)
    """Fewest replicas."""

    max_replicas: int = Field(default=20, ge=1, le=5000)
    """Most replicas."""

    threshold: float = Field(default=16.0, ge=0.01, le=1_000_000)
    """Calls in flight per replica that the scaler aims at."""

    cooldown_seconds: int = Field(default=300, ge=0, le=3600)
    """Scale-down stabilisation window, and KEDA's cooldownPeriod."""

    signal: Annotated[Signal, Field(discriminator="kind")] = Demand()
    """Load metric that KEDA reads."""

    polling_interval_seconds: int = Field(default=15, ge=1, le=3600)
    """Interval at which KEDA reads the trigger."""

    fallback_failures: int = Field(default=3, ge=1, le=1000)
    """Failed queries in a row after which the fallback holds the fleet."""

    scale_up: ScaleUp = ScaleUp()
    """Growth."""

    scale_down: ScaleDown = ScaleDown()
    """Shrinking."""
