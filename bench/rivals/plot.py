# pyright: basic
"""Picture of the designs under the burst; matplotlib's types are partly unknown."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from bench.rivals.designs import OURS

_COLUMNS = 5


def plot(results: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]], file: Path) -> None:
    """Draw the share that each design answered under each load that has one.

    Args:
        results: Figures of each run, by load and design.
        file: Picture to write.
    """
    shown = {
        name: found
        for name, found in results.items()
        if any("share" in figures for runs in found.values() for figures in runs)
    }
    rows = math.ceil(len(shown) / _COLUMNS)
    figure, panels = plt.subplots(
        rows, _COLUMNS, figsize=(2.6 * _COLUMNS + 2.5, 3.6 * rows), sharey=True, squeeze=False
    )
    for axes in panels.flat[len(shown) :]:
        axes.remove()
    for axes, (name, found) in zip(panels.flat, shown.items(), strict=False):
        designs = list(found)
        shares = [[figures["share"] for figures in found[one]] for one in designs]
        middle = [statistics.median(values) for values in shares]
        reach = [[m - min(v) for m, v in zip(middle, shares, strict=True)]]
        reach.append([max(v) - m for m, v in zip(middle, shares, strict=True)])
        colours = ["tab:blue" if one == OURS else "tab:gray" for one in designs]
        axes.barh(designs, middle, xerr=reach, color=colours, ecolor="black")
        axes.set_title(name, fontsize=9)
        axes.set_xlim(0, 1.05)
        axes.set_xlabel("answered / possible")
    panels[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
