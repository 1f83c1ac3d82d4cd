"""The figure of the grounding study: distances as distributions, and what strength and exponent do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from experiments.panels import headline, level_line, panels
from experiments.playing import MATCH
from experiments.styles import CODEC, COSINE, DIFFERENT, EUCLIDEAN, REAL, SAME

_STRENGTH, _EXPONENT = "strength, at beta²", "exponent of beta, at strength 1"


@dataclass(frozen=True)
class Drawn:
    """The values of the clips, by metric, of one system and setting."""

    system: str
    setting: dict[str, Any]
    values: dict[str, list[float]]

    @property
    def is_swept(self) -> bool:
        """Whether this is one of a sweep, and not the paper's grounding, none, or an anchor."""
        place = self.setting.get("strength"), self.setting.get("exponent")
        return place not in ((None, None), (0, 2), (1, 2))


def grounding_figure(
    path: Path, rows: Sequence[Row], drawn: Sequence[Drawn], *, plain: str, grounded: str, identified: str
) -> None:
    """Draw the distances of each system's clips, and cosine distance and timbre against match for the sweeps.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    order = [CODEC, SAME, grounded, plain, DIFFERENT, REAL]
    shown = {one.system: one.values for one in drawn if not one.is_swept and one.system in order}
    with panels(path, (10.0, 7.4)) as figure:
        grid = figure.add_gridspec(2, 2, height_ratios=[1.15, 1])
        first = figure.add_subplot(grid[0, 0])
        second = figure.add_subplot(grid[0, 1], sharey=first)
        for axes, metric in ((first, COSINE), (second, EUCLIDEAN)):
            _distributions(axes, {name: shown[name][metric] for name in order}, emphasised=(grounded, plain))
            axes.set_xlabel(f"{metric} to the style clip")
            headline(axes, metric.capitalize() if metric == COSINE else metric)
        second.tick_params(labelleft=False)
        swept = [row for row in rows if "strength" in row.setting]
        _sweep(figure.add_subplot(grid[1, 0]), rows, swept, COSINE, identified)
        _trade(figure.add_subplot(grid[1, 1]), rows, swept)


def _distributions(axes: Axes, values: dict[str, list[float]], emphasised: Sequence[str]) -> None:
    """Every clip as a dot, the quartiles as a box with the median, the mean as a diamond; one line a system."""
    accent = sns.color_palette("colorblind")[0]
    for place, (name, numbers) in enumerate(values.items()):
        colour = accent if name in emphasised else "0.55"
        jitter = np.random.default_rng(place).uniform(-0.16, 0.16, len(numbers))
        axes.plot(numbers, place + jitter, "o", color=colour, markersize=3, alpha=0.55, markeredgewidth=0)
        low, median, high = np.quantile(numbers, [0.25, 0.5, 0.75])
        axes.barh(place, high - low, left=low, height=0.5, color=colour, alpha=0.18, linewidth=0)
        axes.plot([median, median], [place - 0.25, place + 0.25], color="0.2", linewidth=1.2)
        axes.plot(np.mean(numbers), place, "D", color=colour, markersize=5, markeredgecolor="white", zorder=4)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")


def _curves(swept: Sequence[Row], metric: str) -> dict[str, list[tuple[float, Row]]]:
    found = [row for row in swept if row.metric == metric]
    strengths = [(row.setting["strength"], row) for row in found if row.setting["exponent"] == 2]
    exponents = [(row.setting["exponent"], row) for row in found if row.setting["strength"] == 1]
    return {_STRENGTH: sorted(strengths, key=_place), _EXPONENT: sorted(exponents, key=_place)}


def _sweep(axes: Axes, rows: Sequence[Row], swept: Sequence[Row], distance: str, identified: str) -> None:
    """Mean distance and share of clips with the style's program against the strength."""
    colours = sns.color_palette("colorblind")
    names = {distance: distance, identified: "takes the style's program"}
    for (metric, name), colour in zip(names.items(), colours, strict=False):
        curve = _curves(swept, metric)[_STRENGTH]
        places = [place for place, _ in curve]
        axes.plot(places, [row.value for _, row in curve], "o-", color=colour, markersize=4, label=name)
        lows, highs = [row.low for _, row in curve], [row.high for _, row in curve]
        axes.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)
    chance = 1 / 8
    level_line(axes, chance, "program by chance")
    axes.set_ylim(0, None)
    axes.set(xlabel="strength of grounding (0: none)", ylabel="distance; share of clips")
    axes.legend(loc="best")
    headline(axes, "What the strength does")


def _trade(axes: Axes, rows: Sequence[Row], swept: Sequence[Row]) -> None:
    """Match score against cosine distance, a point for each strength and each exponent."""
    colours = dict(zip((_STRENGTH, _EXPONENT), sns.color_palette("colorblind")[2:], strict=False))
    matches = _curves(swept, MATCH)
    for name, curve in _curves(swept, COSINE).items():
        points = [(row.value, match.value) for (_, row), (_, match) in zip(curve, matches[name], strict=True)]
        axes.plot(*zip(*points, strict=True), "o-", color=colours[name], markersize=4, linewidth=1, label=name)
        for (place, _), point in zip(curve, points, strict=True):
            shift = (4, 4) if name == _STRENGTH else (4, -10)
            axes.annotate(f"{place:g}", point, shift, textcoords="offset points", fontsize=7, color=colours[name])
    for system in (SAME, REAL):
        across, up = (
            next(row.value for row in rows if row.system == system and row.metric == m) for m in (COSINE, MATCH)
        )
        axes.plot(across, up, "D", color="0.5", markersize=5)
        axes.annotate(system, (across, up), (5, -10), textcoords="offset points", fontsize=7.5, color="0.35")
    axes.set(xlabel=f"{COSINE} (lower is nearer to the style)", ylabel=f"{MATCH} (higher fits the mix better)")
    axes.margins(0.12)
    axes.legend(loc="best")
    headline(axes, "Style against fit")


def _place(item: tuple[float, Row]) -> float:
    return item[0]
