"""The figure of the study of lengths: harmony and match over time in the longest medleys, and against the length."""

from collections.abc import Sequence
from pathlib import Path

import seaborn as sns
from matplotlib.axes import Axes

from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import OTHER, REAL
from experiments.panels import headline, level_line, panels
from reference_model.presets import R_TIME, SAMPLE_RATE

_METRICS = ("chord-tone share", "match score")
_DASHED = ("bias taken away", "no positions")


def length_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw each system's chord-tone share and match score, above over time, below against the medley's length.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    systems = list(dict.fromkeys(row.system for row in rows if "frames" in row.setting))
    # Systems of one training share a colour's family; what lacks positions is dashed.
    colours = dict(zip(systems, sns.color_palette("colorblind", len(systems)), strict=True))
    with panels(path, (10.0, 7.2)) as figure:
        grid = figure.subplots(2, 2, sharey="col")
        for column, metric in enumerate(_METRICS):
            found = [row for row in rows if row.metric == metric]
            for line, across in enumerate(("from", "frames")):
                axes = grid[line, column]
                for system in systems:
                    own = [row for row in found if row.system == system]
                    if across == "from":
                        curve = [row for row in own if "from" in row.setting]
                    else:
                        curve = [row for row in own if "frames" in row.setting and "from" not in row.setting]
                    _draw(axes, curve, across, colours[system])
                for row in found:
                    if row.system in (REAL, OTHER):
                        level_line(axes, row.value, row.system)
                if across == "frames":
                    ticks = sorted({row.setting["frames"] for row in found if "frames" in row.setting})
                    axes.set_xscale("log", base=2)
                    axes.set_xticks(ticks, [str(tick) for tick in ticks])
                    axes.minorticks_off()
                    axes.set_xlabel("length of the medley, latent frames (93 ms)")
                    headline(axes, f"{metric.capitalize()} against length")
                else:
                    longest = max(row.setting["frames"] for row in found if "frames" in row.setting)
                    axes.set_xlabel(f"time in medleys of {longest} frames, s")
                    headline(axes, f"{metric.capitalize()} over time")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)


def _draw(axes: Axes, curve: Sequence[Row], across: str, colour: tuple[float, float, float]) -> None:
    curve = sorted(curve, key=lambda row: row.setting[across])
    if not curve:
        return
    scale = R_TIME / SAMPLE_RATE if across == "from" else 1
    places = [row.setting[across] * scale for row in curve]
    system = curve[0].system
    dashes = "--" if system.endswith(_DASHED) else "-"
    marker = "s" if system.startswith("short") else "o"
    axes.plot(places, [row.value for row in curve], dashes, marker=marker, color=colour, markersize=4, label=system)
    lows, highs = [row.low for row in curve], [row.high for row in curve]
    axes.fill_between(places, lows, highs, color=colour, alpha=0.08, linewidth=0)
