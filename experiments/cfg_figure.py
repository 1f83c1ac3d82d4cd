"""The figure of the guidance sweep: FAD against the weight for each rescale, and maps of what each cell does."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import CODEC, REAL
from experiments.panels import headline, level_line, panels, plain_numbers
from experiments.playing import CHORDS, CLIPPING, COLLAPSED, FAD, LEVEL, MATCH

# Metric, colours (dark is bad), and the ends of the colour scale where they do not follow from the values.
_MAPS = (
    (COLLAPSED, "rocket_r", (0.0, 1.0), "{:.0%}"),
    (CLIPPING, "rocket_r", (0.0, None), "{:.1%}"),
    (LEVEL, "vlag", None, "{:+.1f}"),
    (FAD, "rocket_r", None, "{:.0f}"),
    (MATCH, "rocket", None, "{:.2f}"),
    (CHORDS, "rocket", None, "{:.2f}"),
)
_NAMES = {
    COLLAPSED: "collapsed clips",
    CLIPPING: "samples beyond full scale",
    LEVEL: "level against the real bass, dB",
}


def safety_figure(path: Path, rows: Sequence[Row], *, system: str) -> None:
    """Draw FAD against "cfg" with one line for each "phi", and a map of every metric over both.

    A weight that was measured at phi 0 only (there is nothing to rescale) counts for every phi.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    ours = [row for row in rows if row.system == system]
    found = {(row.metric, row.setting["cfg"], row.setting["phi"]): row for row in ours}
    weights, phis = (sorted({row.setting[name] for row in ours}) for name in ("cfg", "phi"))

    def cell(metric: str, weight: float, phi: float) -> Row:
        return found.get((metric, weight, phi)) or found[metric, weight, 0.0]

    with panels(path, (10.0, 8.2)) as figure:
        grid = figure.add_gridspec(3, 3, height_ratios=[1.7, 1, 1])
        curves = {phi: [cell(FAD, weight, phi) for weight in weights] for phi in phis}
        lines = [row for row in rows if row.metric == FAD and row.system in (REAL, CODEC)]
        _draw_curves(figure.add_subplot(grid[0, :]), weights, curves, lines)
        for place, (metric, colours, ends, text) in enumerate(_MAPS):
            axes = figure.add_subplot(grid[1 + place // 3, place % 3])
            values = np.array([[cell(metric, weight, phi).value for weight in weights] for phi in reversed(phis)])
            low, high = ends or (None, None)
            if metric == LEVEL:
                high = max(float(np.abs(values).max()), 1.0)
                low = -high
            elif metric == CLIPPING:
                high = max(float(values.max()), 0.01)
            cells = [[text.format(value) for value in line] for line in values]
            sns.heatmap(
                values,
                ax=axes,
                cmap=colours,
                vmin=low,
                vmax=high,
                annot=cells,
                fmt="",
                annot_kws={"fontsize": 6.5},
                cbar=False,
                linewidths=0.6,
                xticklabels=[f"{weight:g}" for weight in weights],
                yticklabels=[f"{phi:g}" for phi in reversed(phis)],
            )
            axes.tick_params(left=False, bottom=False, labelrotation=0)
            axes.set(xlabel="guidance weight" if place > 2 else "", ylabel="phi" if place % 3 == 0 else "")
            name = _NAMES.get(metric, metric)
            axes.set_title(name[0].upper() + name[1:], loc="left", fontweight="bold")


def _draw_curves(axes: Axes, weights: Sequence[float], curves: dict[float, list[Row]], anchors: Sequence[Row]) -> None:
    values = [row.value for line in curves.values() for row in line]
    if min(values) > 0 and max(values) / min(values) > 10:
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    for (phi, line), colour in zip(curves.items(), sns.color_palette("viridis_r", len(curves)), strict=True):
        axes.plot(weights, [row.value for row in line], "o-", color=colour, markersize=4, label=f"phi {phi:g}")
        lows, highs = [row.low for row in line], [row.high for row in line]
        if all(map(math.isfinite, lows + highs)):
            axes.fill_between(weights, lows, highs, color=colour, alpha=0.13, linewidth=0)
    for row in anchors:
        level_line(axes, row.value, row.system)
    embedder = next(iter(curves.values()))[0].protocol["FAD"].get("embedder", "")
    axes.set(xlabel="guidance weight (0: no mix, 1: plain conditional)", ylabel=f"FAD ({embedder}, lower is better)")
    axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
    axes.margins(x=0.02)
    axes.legend(loc="best")
    headline(axes, "FAD against guidance weight and rescale")
