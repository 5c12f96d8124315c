"""An obstacle of a rollout, and its weight as proof of failure."""

from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    """Weight of a symptom as proof that the rollout fails."""

    NONE = "none"
    """The cluster may resolve it, such as a node that is still being created."""

    IF_IT_LASTS = "if it lasts"
    """Proof after `lasts_seconds` without a break and without any progress."""

    COMPLETE = "complete"
    """Proof at first sight."""


PROOF_SECONDS = 30.0
"""Time that a symptom must last to be proof. kubelet repeats a failed pull after 10 s, and the
ReplicaSet controller a refused pod several times, so each had a second chance."""

AWAY_SECONDS = 180.0
"""The same for a registry that does not answer: kubelet's first five attempts take so long."""


@dataclass(frozen=True)
class LogOf:
    """Log that holds the last lines of a container."""

    pod: str
    container: str
    previous: bool
    """The log of the container that ended before the one that runs now."""


@dataclass(frozen=True)
class Symptom:
    """An obstacle of a rollout."""

    on: str
    """The object, such as `pod triton-5d4`."""

    reason: str
    """Kubernetes' own term for it, such as `ImagePullBackOff`."""

    words: str
    """Message of its reporter: kubelet, scheduler, controller, or the container."""

    proof: Proof = Proof.NONE
    log: LogOf | None = None

    lasts_seconds: float = PROOF_SECONDS

    stamp: str = ""
    """Time of the last failed attempt; empty if the cluster does not state it. An attempt before
    this run proves nothing: its cause may be gone by now, and the next attempt shows it."""

    @property
    def key(self) -> tuple[str, str]:
        """Identity over time: words change with every attempt."""
        return self.on, self.reason

    def __str__(self) -> str:
        words = " ".join(self.words.split())
        return f"{self.on}: {self.reason}" + (f": {words}" if words else "")
