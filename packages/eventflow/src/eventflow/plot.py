"""A plot of a run: outcomes, calls in flight, and replicas on one time axis."""

import math
from pathlib import Path
from typing import Any

from eventflow.errors import EventFlowError
from eventflow.fetch import Series
from eventflow.outcomes import Outcome
from eventflow.run import Run
from eventflow.timeline import ends_per_bin, in_flight_at

_BINS = 100

_COLOURS = {
    Outcome.OK: "#2e7d32",
    Outcome.BREAKER: "#fbc02d",
    Outcome.LIMITED: "#fb8c00",
    Outcome.REFUSED: "#ef6c00",
    Outcome.NO_UPSTREAM: "#8e24aa",
    Outcome.DEADLINE: "#c62828",
    Outcome.CONNECTION_LOST: "#6d1b1b",
    Outcome.CANCELLED: "#9e9e9e",
    Outcome.OTHER: "#00838f",
    Outcome.LOST: "#000000",
}


def draw(
    path: Path,
    title: str,
    run: Run,
    *,
    replicas: Series | None = None,
    gateway: Series | None = None,
) -> None:
    """Draw the plot of a run.

    Args:
        path: Image file; its suffix determines the format.
        title: Title of the plot.
        run: The run.
        replicas: Ready replicas, from Prometheus.
        gateway: Calls in flight at the gateway, from Prometheus.

    Raises:
        EventFlowError: Package matplotlib is missing, or the image cannot be written.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise EventFlowError("--picture needs matplotlib: pip install matplotlib") from error
    seconds = max(run.ended_at - run.started_at, 1e-3)
    width = seconds / _BINS
    ends = ends_per_bin(run.ledger, run.started_at, seconds, _BINS)
    figure: Any
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(10, 6.5))
    axis: Any = top
    starts = [number * width for number in range(_BINS)]
    floor = [0.0] * _BINS
    for outcome, counts in ends.items():
        heights = [count / width for count in counts]
        label = f"{outcome.replace('_', ' ')} ({run.ledger.counts[outcome]:,})"
        axis.bar(
            starts, heights, width, bottom=floor, align="edge", color=_COLOURS[outcome], label=label
        )
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    axis.set_ylabel("calls ended per second")
    axis.set_title(title)
    axis.legend(loc="upper right", fontsize="small")

    axis = bottom
    moments = [*starts, seconds]
    own = in_flight_at(run.ledger, [run.started_at + moment for moment in moments])
    axis.step(moments, own, where="post", color="#1565c0", label="in flight (client)")
    zero = run.started_at + run.epoch_offset
    if gateway is not None:
        times = [at - zero for at in gateway.at]
        axis.step(times, gateway.values, where="post", color="#90a4ae", label="in flight (gateway)")
    axis.set_ylabel("calls in flight")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("seconds since the run began")
    axis.set_xlim(0, seconds)
    handles, labels = axis.get_legend_handles_labels()
    if replicas is not None:
        right: Any = bottom.twinx()
        times = [at - zero for at in replicas.at]
        right.step(times, replicas.values, where="post", color="#2e7d32", label="replicas")
        right.set_ylabel("replicas")
        right.set_ylim(0, 1.1 * max((v for v in replicas.values if not math.isnan(v)), default=1))
        more_handles, more_labels = right.get_legend_handles_labels()
        handles, labels = handles + more_handles, labels + more_labels
    axis.legend(handles, labels, loc="upper right", fontsize="small")
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise EventFlowError(f"{path}: {error}") from error
    finally:
        plt.close(figure)
