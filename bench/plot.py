# pyright: basic
"""Plot of a run; matplotlib's types are partly unknown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


class Bar(Protocol):
    """A figure and its bound."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def side(self) -> str: ...  # noqa: D102
    @property
    def bound(self) -> float: ...  # noqa: D102
    @property
    def figure(self) -> str: ...  # noqa: D102
    @property
    def met(self) -> bool: ...  # noqa: D102


_WIDEST = 2.5
"""Largest share of a bound that a bar shows."""


def share(goal: Bar) -> float:
    """Return a figure as a share of its bound; the figure itself if the bound is 0."""
    if goal.value is None:
        return 0.0
    return min(_WIDEST, goal.value / goal.bound if goal.bound else goal.value)


def plot_goals(goals: Sequence[Bar], file: Path) -> None:
    """Draw each figure as a share of its bound."""
    figure, axes = plt.subplots(figsize=(9, 0.6 * len(goals) + 1))
    shares = [share(goal) for goal in goals]
    colours = ["tab:blue" if goal.met else "tab:red" for goal in goals]
    axes.barh([f"{goal.name} ({goal.side})" for goal in goals], shares, color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("share of the bound")
    for row, goal in enumerate(goals):
        axes.text(shares[row], row, f" {goal.figure}", va="center")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
