"""The figure of the DDIM-step study: FAD by two embedders, match and harmony against steps, and seconds above."""

import math
from collections.abc import Sequence
from pathlib import Path

import seaborn as sns
from matplotlib.axes import Axes

from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import CODEC, OTHER, REAL
from experiments.panels import headline, level_line, panels, plain_numbers
from experiments.playing import CHORDS, FAD, MATCH


def steps_figure(path: Path, rows: Sequence[Row], *, systems: Sequence[str], clock: str, paper_steps: int) -> None:
    """Draw a panel for each kind of FAD, the match score and the chord-tone share, a line for each of the systems.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    kinds = list(dict.fromkeys(row.metric for row in rows if row.system == REAL and row.metric.startswith(FAD)))
    with panels(path, (10.0, 7.4)) as figure:
        for axes, metric in zip(figure.subplots(2, 2).ravel(), (*kinds, MATCH, CHORDS), strict=True):
            found = [row for row in rows if row.metric == metric]
            _draw(axes, [[row for row in found if row.system == system] for system in systems])
            anchors = (REAL, CODEC) if metric in kinds else (REAL, OTHER)
            for row in found:
                if row.system in anchors and math.isfinite(row.value):
                    level_line(axes, row.value, row.system, left=metric in kinds)
            axes.axvline(paper_steps, color="0.75", linewidth=0.9, linestyle=":", zorder=1)
            _seconds_above(axes, [row for row in rows if row.metric == clock and row.system in systems])
            axes.set_xlabel(f"DDIM steps (dotted: the paper's {paper_steps})")
            headline(axes, _title(metric, rows))
            axes.legend(loc="best")


def _draw(axes: Axes, curves: Sequence[Sequence[Row]]) -> None:
    colours = sns.color_palette("colorblind", len(curves))
    values = [row.value for curve in curves for row in curve]
    for curve, colour in zip(curves, colours, strict=True):
        if not curve:
            continue
        steps = [row.setting["steps"] for row in curve]
        name = curve[0].system.removeprefix("reference model, ")
        axes.plot(steps, [row.value for row in curve], "o-", color=colour, markersize=4, label=name)
        lows, highs = [row.low for row in curve], [row.high for row in curve]
        axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    ticks = sorted({row.setting["steps"] for curve in curves for row in curve})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    if min(values) > 0 and max(values) > max(10 * min(values), 1):  # shares and similarities stay linear
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)


def _seconds_above(axes: Axes, clock: Sequence[Row]) -> None:
    """A second axis: what a clip takes at each number of steps, with guidance where there are such rows."""
    slowest: dict[int, float] = {}
    for row in clock:
        slowest[row.setting["steps"]] = max(row.value, slowest.get(row.setting["steps"], 0.0))
    if not slowest:
        return
    above = axes.twiny()
    above.set_xscale("log", base=2)
    above.set_xlim(axes.get_xlim())
    above.set_xticks(sorted(slowest), [f"{slowest[steps]:.2g}" for steps in sorted(slowest)])
    above.minorticks_off()
    above.grid(visible=False)
    above.tick_params(labelsize=7.5, colors="0.35", length=2)
    above.set_xlabel("seconds a clip" + (", with guidance" if _guided(clock) else ""), fontsize=8, color="0.35")


def _guided(clock: Sequence[Row]) -> bool:
    return any(row.setting["cfg"] not in (0, 1) for row in clock)


def _title(metric: str, rows: Sequence[Row]) -> str:
    if metric == FAD:
        return f"FAD ({next(row for row in rows if row.metric == FAD).protocol['FAD'].get('embedder', '')})"
    if metric.startswith(FAD):
        return f"FAD ({metric.removeprefix(FAD + ', ')})"
    return metric[0].upper() + metric[1:]
