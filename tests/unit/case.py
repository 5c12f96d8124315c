"""One mutation of a parameter, and words of the message that it causes."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    check: str
    key: str
    value: Any
    says: str
    """Text that the message must hold: the figures that make it understood."""
    base: dict[str, Any] = field(default_factory=dict)
