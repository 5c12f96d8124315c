# pyright: basic
"""The picture of a run: matplotlib's own types are only partly known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


class Bar(Protocol):
    """A figure held against the most that it may be."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def at_most(self) -> float: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def met(self) -> bool: ...  # noqa: D102


def plot_goals(goals: Sequence[Bar], file: Path) -> None:
    """Draw each figure as a share of the most that is allowed."""
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(goals) + 1))
    shares = [goal.value / goal.at_most for goal in goals]
    colours = ["tab:blue" if goal.met else "tab:red" for goal in goals]
    axes.barh([goal.name for goal in goals], shares, color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("share of the most that is allowed")
    for row, goal in enumerate(goals):
        axes.text(shares[row], row, f" {goal.value:g} {goal.unit}", va="center")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
