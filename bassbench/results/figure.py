"""Figures are functions of rows: a metric against a setting, with its confidence band and the anchors as lines."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": "0.3",
    "axes.linewidth": 0.8,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_INCHES = (7.0, 4.0)
_DPI = 200
_LOG_BEYOND = 10.0
_ANCHOR = "0.45"


def curve_figure(
    path: Path,
    curves: Sequence[Row],
    *,
    across: str,
    anchors: Sequence[Row] = (),
    hue: str | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    share: bool = False,
) -> None:
    """Draw one metric of `curves` against the numeric setting `across` on a log2 axis.

    Confidence intervals are bands; `hue` names a setting that makes one curve for each of its values; `anchors` are
    labelled horizontal lines. The value axis is logarithmic where the values span more than a factor of ten, and from
    0 to 1 where the metric is a `share`. The file (png, svg or pdf by suffix) appears whole or not at all.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
        ValueError: no curves, more than one metric, or an `across` value that is not a positive number.
    """
    rows = [*curves, *anchors]
    if not curves or len({row.metric for row in rows}) != 1:
        raise ValueError("a figure takes the rows of one metric, at least one of them on the curve")
    require_one_protocol(rows)
    frame = _frame(curves, across, hue)
    with sns.axes_style("whitegrid", rc=STYLE), matplotlib.rc_context(STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _scale(axes, rows, sorted(frame[across].unique()), share=share)
        _draw_anchors(axes, anchors)
        _draw_curves(axes, frame, across, hue)
        axes.set(xlabel=x_label or across, ylabel=y_label or curves[0].metric)
        axes.set_title(title, loc="left", fontweight="bold")
        sns.despine(ax=axes, left=False, bottom=False)
        save_figure(figure, path)


def _frame(curves: Sequence[Row], across: str, hue: str | None) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            across: [row.setting.get(across) for row in curves],
            "value": [row.value for row in curves],
            "low": [row.low for row in curves],
            "high": [row.high for row in curves],
            "curve": [f"{hue} {row.setting.get(hue)}" if hue else row.system for row in curves],
        }
    )
    positive = [isinstance(value, int | float) and value > 0 for value in frame[across]]
    if not all(positive):
        raise ValueError(f"'{across}' must be a positive number on every row to be drawn on a log2 axis")
    return frame.sort_values(["curve", across], kind="stable")


def _scale(axes: Axes, rows: Sequence[Row], ticks: Sequence[float], *, share: bool) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.03)
    if share:
        axes.set_ylim(0, 1)
        return
    values = [v for row in rows for v in (row.value, row.low, row.high) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(values), max(values)
    if low > 0 and high / low > _LOG_BEYOND:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.25, high * 1.25)
    else:
        room = 0.06 * (high - low or abs(high) or 1.0)
        axes.set_ylim(low - room, high + room)


def _draw_curves(axes: Axes, frame: pd.DataFrame, across: str, hue: str | None) -> None:
    names = list(dict.fromkeys(frame["curve"]))
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    sns.lineplot(frame, x=across, y="value", hue="curve", palette=colours, marker="o", markersize=5, ax=axes, zorder=3)
    for name, part in frame.groupby("curve", sort=False):
        axes.fill_between(part[across], part["low"], part["high"], color=colours[str(name)], alpha=0.18, linewidth=0)
    axes.legend(title=None, loc="best")


def _draw_anchors(axes: Axes, anchors: Sequence[Row]) -> None:
    shown = sorted((row for row in anchors if math.isfinite(row.value)), key=lambda row: row.value)
    if not shown:
        return
    axes.figure.canvas.draw()  # settles the layout, so that heights in the data are heights on the page
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, row.value)))[1] for row in shown]
    for row, height, label_height in zip(shown, heights, _apart(heights, 0.055), strict=True):
        axes.axhline(row.value, color=_ANCHOR, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
        axes.annotate(
            row.system,
            xy=(1.0, height),
            xytext=(1.025, label_height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color="0.3",
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Sorted heights moved as little as needed to lie at least `gap` apart, centred on their groups."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) - _top(groups[-2], gap) < gap:
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group, gap) + i * gap for group in groups for i in range(len(group))]


def _bottom(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _top(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure (png, svg or pdf by suffix), whole or not at all.

    Raises:
        BadInputError: it cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            # No software version and no date inside: the same rows give the same file.
            figure.savefig(temporary, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot write the figure ({error})") from None
