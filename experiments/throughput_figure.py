"""How cost grows with length, batch and clips, and how codecs stand side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from experiments.panels import headline, panels, plain_numbers

SECONDS_PER_FRAME = 4096 / 44_100


def draw(path: Path, frame: pd.DataFrame) -> None:
    """Four panels, as png; a panel without rows says so.

    Raises:
        BadInputError: the file cannot be written.
    """
    with panels(path, (10.0, 7.6)) as figure:
        length, batch, clips, peers = figure.subplots(2, 2).flat
        _lines(
            length,
            _labelled(
                frame, {"autoencoder by length": "{case}", "generation, wav to wav": "generation, {case}"}, "frames"
            ),
            x=lambda rows: rows["frames"] * SECONDS_PER_FRAME,
            labels=("Length of audio, s", "Time, s"),
        )
        headline(length, "Time by length")
        sampled = _labelled(
            frame, {"U-Net evaluation": "U-Net, {case}, {dtype}", "sampling": "{case}, {dtype}"}, "batch"
        )
        sampled = sampled[~sampled["case"].str.contains("plain|compiled")]
        sampled = sampled[sampled.groupby("line")["batch"].transform("nunique") > 1]
        sampled = sampled.assign(seconds=sampled["seconds"] / sampled["batch"])
        _lines(batch, sampled, x=lambda rows: rows["batch"], labels=("Clips in a batch", "Time per clip, s"))
        headline(batch, "Time per clip by batch")
        scored = _labelled(frame, {"FAD by clips": "FAD, wav to distance", "match by clips": "match, {case}"}, "clips")
        _lines(clips, scored, x=lambda rows: rows["clips"], labels=("Clips", "Time, s"))
        _memory(clips, scored)
        headline(clips, "Time and memory by clips")
        _bars(peers, frame[frame["group"] == "codecs side by side"])
        headline(peers, "Codecs side by side")


def _labelled(frame: pd.DataFrame, groups: dict[str, str], across: str) -> pd.DataFrame:
    part = frame[frame["group"].isin(groups) & frame[across].notna()].copy()
    part["line"] = [groups[row["group"]].format(**row) for row in part.to_dict("records")]
    return part


def _lines(axes: Axes, part: pd.DataFrame, *, x, labels: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if part.empty:
        _empty(axes)
        return
    names = list(dict.fromkeys(part["line"]))
    for name, colour in zip(names, sns.color_palette("colorblind", len(names)), strict=True):
        rows = part[part["line"] == name].sort_values(by="seconds")
        rows = rows.assign(x=x(rows)).sort_values("x")
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
    if part.empty:
        _empty(axes)
        return
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


def _empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="0.5")
