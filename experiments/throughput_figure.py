"""How cost grows with length, batch and clips, and how codecs stand side by side."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from experiments.panels import headline, panels, plain_numbers

SECONDS_PER_FRAME = 4096 / 44_100


def draw(path: Path, frame: pd.DataFrame) -> bool:
    """A panel for all that was measured of length, batch, training, clips and codecs, as png; False if nothing was.

    Raises:
        BadInputError: the file cannot be written.
    """
    length = _labelled(
        frame, {"autoencoder by length": "{case}", "generation, wav to wav": "generation, {case}"}, "frames"
    )
    length = length.assign(x=length["frames"] * SECONDS_PER_FRAME)
    sampled = _by_batch(frame, {"U-Net evaluation": "U-Net, {case}, {dtype}", "sampling": "{case}, {dtype}"})
    sampled = sampled[~sampled["case"].astype(str).str.contains("plain|compiled")]
    trained = _by_batch(frame, {"training step": "{case}, {dtype}"})
    scored = _labelled(frame, {"FAD by clips": "FAD, wav to distance", "match by clips": "match, {case}"}, "clips")
    scored = scored.assign(x=scored["clips"])

    def of_clips(axes: Axes, part: pd.DataFrame) -> None:
        _lines(axes, part, "Clips", "Time, s")
        _memory(axes, part)

    per_clip = partial(_lines, x_label="Clips in a batch", y_label="Time per clip, s")
    all_panels: list[tuple[str, pd.DataFrame, Callable[[Axes, pd.DataFrame], None]]] = [
        ("Time by length", length, partial(_lines, x_label="Length of audio, s", y_label="Time, s")),
        ("Time per clip by batch", sampled, per_clip),
        ("Time of a training step per clip, by batch", trained, per_clip),
        ("Time and memory by clips", scored, of_clips),
        ("Codecs side by side", frame[frame["group"] == "codecs side by side"], _bars),
    ]
    shown = [panel for panel in all_panels if len(panel[1])]
    if not shown:
        return False
    rows, columns = -(-len(shown) // 2), min(len(shown), 2)
    with panels(path, (5.0 * columns, 3.8 * rows)) as figure:
        places = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (title, part, fill) in zip(places, shown, strict=False):
            fill(axes, part)
            headline(axes, title)
        for axes in places[len(shown) :]:
            axes.set_axis_off()
    return True


def _by_batch(frame: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
    """Rows of what was measured at several batch sizes, with the seconds of a clip."""
    part = _labelled(frame, groups, "batch")
    part = part[part.groupby("line")["batch"].transform("nunique") > 1]
    return part.assign(x=part["batch"], seconds=part["seconds"] / part["batch"])


def _labelled(frame: pd.DataFrame, groups: dict[str, str], across: str) -> pd.DataFrame:
    part = frame[frame["group"].isin(groups) & frame[across].notna()].copy()
    part["line"] = [groups[row["group"]].format(**row) for row in part.to_dict("records")]
    return part


def _lines(axes: Axes, part: pd.DataFrame, x_label: str, y_label: str) -> None:
    axes.set(xlabel=x_label, ylabel=y_label)
    names = list(dict.fromkeys(part["line"]))
    for name, colour in zip(names, sns.color_palette("colorblind", len(names)), strict=True):
        rows = part[part["line"] == name].sort_values("x")
        axes.plot(rows["x"], rows["seconds"], marker="o", markersize=4, label=name, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        plain_numbers(axis)
    axes.legend(loc="best", fontsize=7)


def _memory(axes: Axes, part: pd.DataFrame) -> None:
    rows = part[(part["group"] == "FAD by clips") & part["memory_mb"].notna()].sort_values("clips")
    if rows.empty:
        return
    other = axes.twinx()
    other.plot(rows["clips"], rows["memory_mb"], color="0.45", linestyle=(0, (4, 2)), marker="s", markersize=3)
    other.set(ylabel="Memory of FAD at its peak, MB (dashed)", ylim=(0, max(1.6 * rows["memory_mb"].max(), 1)))
    other.grid(visible=False)


def _bars(axes: Axes, part: pd.DataFrame) -> None:
    axes.set(xlabel="Times real time (stereo)")
    systems = list(dict.fromkeys(part["system"]))
    for offset, (direction, colour) in enumerate(
        zip(("encode", "decode"), sns.color_palette("colorblind", 2), strict=True)
    ):
        rows = part[part["case"] == direction].set_index("system")["real_time_factor"]
        values = [rows.get(system, np.nan) for system in systems]
        places = np.arange(len(systems)) + 0.36 * offset - 0.18
        axes.barh(places, values, height=0.34, color=colour, label=direction)
        _say(axes, places, values)
    axes.set_yticks(range(len(systems)), systems)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 2)
    plain_numbers(axes.xaxis)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.legend(loc="lower right")


def _say(axes: Axes, places: Sequence[float] | np.ndarray, values: Sequence[float]) -> None:
    for place, value in zip(places, values, strict=True):
        if np.isfinite(value):
            said = f"{float(f'{value:.3g}'):g}"
            axes.annotate(said, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
