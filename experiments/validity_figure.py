"""The heat map of metric validity: AUC of each metric against each damage, splits one above the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bassbench.results.figure import save_figure
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol

_CELL = 0.27


def validity_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw AUC rows, metrics down and damages across; undefined cells are grey. The file appears whole or not at all.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    splits, metrics, damages = (
        list(dict.fromkeys(names))
        for names in (
            [row.setting["split"] for row in rows],
            [row.system for row in rows],
            [row.setting["damage"] for row in rows],
        )
    )
    cells = {(row.setting["split"], row.system, row.setting["damage"]): row.value for row in rows}
    style: dict[Any, Any] = {"font.size": 7, "axes.titlesize": 9}
    colours = sns.color_palette("vlag_r", as_cmap=True).with_extremes(bad="0.85")
    width, height = _CELL * len(damages) + 3.2, len(splits) * (_CELL * len(metrics) + 0.4) + 1.4
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(splits), 1, squeeze=False, sharex=True)[:, 0]
        image = None
        for axes, split in zip(panels, splits, strict=True):
            values = np.array([[cells.get((split, metric, name), np.nan) for name in damages] for metric in metrics])
            image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    shade = "white" if abs(value - 0.5) > 0.4 else "0.2"
                    text = f"{value:.2f}".removeprefix("0") if value < 1 else "1"
                    axes.text(column, row, text, ha="center", va="center", fontsize=5, color=shade)
            axes.set_title(f"{split} split", loc="left", fontweight="bold")
            axes.set_yticks(range(len(metrics)), metrics)
            axes.set_xticks(range(len(damages)), damages, rotation=60, ha="right", rotation_mode="anchor")
            axes.tick_params(length=0)
        assert image is not None
        label = "AUC: the real bass scores better (0.5: the metric does not see the damage)"
        figure.colorbar(image, ax=list(panels), label=label, shrink=0.6, pad=0.01)
        save_figure(figure, path)
