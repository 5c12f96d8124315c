# pyright: basic
"""Plot of overloads, side by side; matplotlib's types are partly unknown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.overload.record import Record

mpl.use("Agg")
from matplotlib import pyplot as plt

_INCHES = (8.0, 9.0)
"""Width of one record, and height."""

_MARKED = ("HPA wants", "all ", "load ends", "back at")
"""First words of the milestones that the plot marks."""


def draw(file: Path, records: Sequence[Record]) -> None:
    """Draw records beside one another, on the same scales.

    Args:
        file: Image to write; its suffix selects the format.
        records: At least one.
    """
    width, height = _INCHES
    figure, axes = plt.subplots(
        3,
        len(records),
        sharex=True,
        sharey="row",
        squeeze=False,
        figsize=(width * len(records), height),
    )
    for column, record in enumerate(records):
        calls, signal, fleet = axes[:, column]
        calls.set_title(f"{record.name}: {record.window} calls held on one connection")
        _draw_calls(calls, record)
        _draw_signal(signal, record)
        _draw_fleet(fleet, record)
        for axis in (calls, signal, fleet):
            _mark(axis, record)
            axis.set_ylim(bottom=0)
            axis.set_xlim(left=0)
            axis.grid(alpha=0.3)
            axis.legend(loc="upper right", fontsize="small")
        fleet.set_xlabel("seconds since the overload began")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _draw_calls(axis: Any, record: Record) -> None:
    at, values = record.goodput.at, record.goodput.values
    axis.step(at, values, where="post", color="#2e7d32", label="answered OK (client)")
    ready_at, ready = _course(record, "ready")
    capacity = [count * record.replica_rps for count in ready]
    axis.step(
        ready_at, capacity, where="post", color="#90a4ae", label="capacity of the ready replicas"
    )
    axis.set_ylabel("calls per second")


def _draw_signal(axis: Any, record: Record) -> None:
    signal, waiting = record.signal, record.in_flight
    axis.step(signal.at, signal.values, where="post", color="#ef6c00", label="scaler's signal")
    axis.step(waiting.at, waiting.values, where="post", color="#1565c0", label="in flight")
    axis.axhline(
        record.growth_needs,
        color="black",
        linestyle=":",
        label=f"above it {record.least} replicas are too few",
    )
    axis.set_ylabel("calls (Prometheus)")


def _draw_fleet(axis: Any, record: Record) -> None:
    for field, words, colour in (
        ("wanted", "HPA wants", "#ef6c00"),
        ("replicas", "Deployment states", "#1565c0"),
        ("ready", "ready", "#2e7d32"),
    ):
        at, counts = _course(record, field)
        axis.step(at, counts, where="post", color=colour, label=words)
    axis.set_ylabel("replicas")


def _course(record: Record, field: str) -> tuple[list[float], list[int]]:
    """Return one number of the fleet over time; the last value lasts until the end."""
    at = [max(0.0, step.at - record.began_at) for step in record.steps]
    counts = [getattr(step, field) for step in record.steps]
    end = max(at[-1], record.client["seconds"])
    return [*at, end], [*counts, counts[-1]]


def _mark(axis: Any, record: Record) -> None:
    for milestone in record.milestones:
        if milestone.at_seconds is not None and milestone.what.startswith(_MARKED):
            axis.axvline(milestone.at_seconds, color="#9e9e9e", linestyle="--", linewidth=1)
