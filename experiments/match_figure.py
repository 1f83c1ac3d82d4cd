"""The matcher's figure: AUC against damaged basses, by transposition and by delay, for each system and split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bassbench.results.figure import save_figure
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol

AUC, UNLIKE_AUC = "AUC", "AUC, unlike itself"
_PANELS = (
    ("transposed by ", "", "semitones"),
    ("late by ", " beats", "beats late (dashed: lines unlike themselves)"),
)


def proof_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw AUC rows whose setting "against" names a transposition or a delay; a line of panels for each split.

    Dashed: the AUC over lines unlike themselves when so late. The file appears whole or not at all.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    splits = list(dict.fromkeys(row.setting["split"] for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    colours = dict(zip(systems, sns.color_palette("colorblind", len(systems)), strict=True))
    style: dict[Any, Any] = {"font.size": 9, "legend.frameon": False, "legend.fontsize": 8, "axes.titlesize": 10}
    with sns.axes_style("whitegrid", rc={"grid.color": "0.9"}), matplotlib.rc_context(style):
        figure = Figure(figsize=(8.0, 2.9 * len(splits)), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(splits), len(_PANELS), squeeze=False, sharey=True)
        for line, split in zip(grid, splits, strict=True):
            for axes, panel in zip(line, _PANELS, strict=True):
                chosen = [row for row in rows if row.setting["split"] == split]
                _panel(axes, chosen, panel, colours)
            line[0].set_title(f"{split} split", loc="left", fontweight="bold")
            line[0].set_ylabel("AUC")
        grid[0][0].legend(loc="lower left")
        save_figure(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], panel: tuple[str, str, str], colours: dict) -> None:
    before, after, label = panel
    for system, colour in colours.items():
        for metric, line in ((AUC, "o-"), (UNLIKE_AUC, "x--")):
            found = []
            for row in rows:
                against = row.setting["against"]
                if (row.system, row.metric) == (system, metric) and against.startswith(before):
                    found.append((float(against.removeprefix(before).removesuffix(after)), row))
            found.sort(key=lambda item: item[0])
            places = [place for place, _ in found]
            name = system if metric == AUC else None
            axes.plot(places, [row.value for _, row in found], line, color=colour, label=name, markersize=4)
            if metric == AUC:
                lows, highs = [row.low for _, row in found], [row.high for _, row in found]
                axes.fill_between(places, lows, highs, color=colour, alpha=0.18, linewidth=0)
    axes.axhline(0.5, color="0.5", linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_xlabel(label)
    axes.set_ylim(0.0, 1.03)
