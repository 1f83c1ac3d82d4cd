"""What the studies' figures are drawn with: one style, several panels, a file that appears whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from bassbench.results.figure import STYLE, save_figure
from bassbench.results.rows import Row


@contextmanager
def panels(
    path: Path, inches: tuple[float, float], *, grid: bool = True, style: Mapping[str, Any] | None = None
) -> Iterator[Figure]:
    """An empty figure to draw on, whose `style` changes the common one; it is written to `path` (png) at the end.

    Raises:
        BadInputError: the file cannot be written.
    """
    rc = {**STYLE, **(style or {})}
    with sns.axes_style("whitegrid" if grid else "white", rc=rc), matplotlib.rc_context(rc):
        figure = Figure(figsize=inches, dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        save_figure(figure, path)


def headline(axes: Axes, text: str) -> None:
    """A panel's title, and no frame on the right and above."""
    axes.set_title(text, loc="left", fontweight="bold")
    sns.despine(ax=axes, left=False, bottom=False)


def plain_numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times the powers of ten, written out."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def level_line(axes: Axes, value: float, name: str, *, left: bool = False) -> None:
    """A dashed horizontal line with its name just above its right (or left) end."""
    axes.axhline(value, color="0.45", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1.5)
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": True}
    words = {"fontsize": 7.5, "color": "0.35", "bbox": {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.8}}
    x, side = (0.008, "left") if left else (0.995, "right")
    axes.annotate(name, (x, value), (0, 3), ha=side, va="bottom", zorder=5, **words, **place)  # type: ignore[arg-type]


def curve(
    axes: Axes, places: Sequence[float], rows: Sequence[Row], line: str = "o-", *, shade: float = 0.15, **options: Any
) -> None:
    """The values of rows at their places, with their intervals as a band; `options` are those of the line."""
    axes.plot(places, [row.value for row in rows], line, **{"markersize": 4, **options})
    lows, highs = [row.low for row in rows], [row.high for row in rows]
    axes.fill_between(places, lows, highs, color=options["color"], alpha=shade, linewidth=0)


def doubling_axis(axes: Axes, ticks: Sequence[int]) -> None:
    """A horizontal axis on which each doubling is as long, with its ticks written out."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
