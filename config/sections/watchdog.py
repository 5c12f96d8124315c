"""The watchdog of a Triton replica: tiny inferences that prove that its models answer."""

import math
from typing import Literal

from pydantic import Field

from config.base import Count, Port, Seconds, Section

MIN_INTERVAL_SECONDS = 2.0
"""Interval of fast models: 0.5 inferences a second, and 1 % of a replica that answers 50."""

MAX_SHARE = 0.1
"""Share of a slow model's time that the watchdog's inferences may take."""

MIN_PATIENCE_SECONDS = 6.0
"""Patience with fast models: with `MIN_INTERVAL_SECONDS` a dead one is ended within 8 s."""


DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP32", "FP64", "BYTES",
]  # fmt: skip


class InferInput(Section):
    """One input of an inference request, as the KServe v2 protocol has it in JSON."""

    name: str = Field(min_length=1)
    """Name of the input."""

    datatype: DataType
    """Data type; BYTES is text."""

    shape: tuple[Count, ...] = (1,)
    """Shape, the batch dimension included."""

    data: tuple[bool | int | float | str, ...] = ()
    """Values in row-major order; zeros (empty texts) if empty."""

    @property
    def items(self) -> int:
        """Number of values that the shape has room for."""
        return math.prod(self.shape)

    @property
    def zero(self) -> bool | int | str:
        """Default value of an item."""
        return {"BYTES": "", "BOOL": False}.get(self.datatype, 0)


class InferRequest(Section):
    """One inference that a healthy model answers."""

    model: str = Field(min_length=1)
    """Name of the model."""

    inputs: tuple[InferInput, ...] = Field(min_length=1)
    """Inputs of the model."""


class Watchdog(Section):
    """Tiny inferences inside each replica; a replica restarts if a model answers none of them."""

    enabled: bool = True
    """True to watch replicas. Needs `python3` in Triton's image."""

    requests: tuple[InferRequest, ...] = ()
    """Inferences to make. Every other model gets one that is derived from its config: the first
    sample of its `model_warmup`, or else zeros of the smallest shape, which count against the model
    only once it has answered them. Decoupled models and those with sequences have none."""

    skipped_models: tuple[str, ...] = ()
    """Models that are not watched."""

    port: Port = 8003
    """Port on which it tells kubelet and the gateways whether the replica takes calls: not before
    every model has answered once, and not while it stops."""

    interval_seconds: Seconds | None = None
    """Time between two inferences of a model; if unset, 2 s, and more if they would take over
    a tenth of a replica's time."""

    patience_seconds: Seconds | None = None
    """Time without one answer after which a replica restarts; if unset, the deadline and twice the
    longest queue, at least 6 s. Set more if calls outlast the deadline."""
