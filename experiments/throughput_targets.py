"""The throughput that was aimed at, each with what was measured: met, missed with the cause, or not measured."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

Figure = Callable[[pd.DataFrame], float]
"""From all rows to what is measured; NaN where rows are missing."""


@dataclass(frozen=True)
class Target:
    """At least `least`, or at most where `at_most`; `cause` is said where it is missed; `gpu`: of its rows alone."""

    name: str
    least: float
    figure: Figure
    cause: str
    at_most: bool = False
    gpu: bool = False

    def met(self, value: float) -> bool:
        """Whether a measured value reaches it."""
        return value <= self.least if self.at_most else value >= self.least


def seconds(frame: pd.DataFrame, group: str, **values: object) -> float:
    """The seconds of the one row of a group with these values; NaN if there is none, the least of several."""
    part = _rows(frame, group, **values)
    return float(part["seconds"].min()) if len(part) else np.nan


def codec_ratio(direction: str) -> Figure:
    """How many times faster the slower of our autoencoders is than the fastest peer."""

    def figure(frame: pd.DataFrame) -> float:
        part = _rows(frame, "codecs side by side", case=direction)
        ours = part["system"].astype(str).str.startswith("bassbench")
        return float(part["seconds"][~ours].min() / part["seconds"][ours].max())

    return figure


def fad_ratio(frame: pd.DataFrame) -> float:
    """Seconds of fadtk from files to a distance, over ours."""
    group = "FAD side by side"
    return seconds(frame, group, system="fadtk") / seconds(frame, group, system="bassbench")


def distance_ratio(frame: pd.DataFrame) -> float:
    """The least ratio of fadtk's to our seconds at 1024 dimensions or more."""
    part = _rows(frame, "Fréchet distance")
    large = sorted(part["dim"][(part["system"] == "fadtk") & (part["dim"] >= 1024)])
    ratios = [
        seconds(part, "Fréchet distance", dim=dim, system="fadtk")
        / seconds(part, "Fréchet distance", dim=dim, system="bassbench")
        for dim in large
    ]
    return min(ratios, default=np.nan)


def generation(case: str, frames: int = 256) -> Figure:
    """Times real time of one file of 23.8 s."""
    return real_time("generation, wav to wav", case=case, frames=frames)


def real_time(group: str, **values: object) -> Figure:
    """The most times real time of the rows of a group with these values."""
    return lambda frame: float(_rows(frame, group, **values)["real_time_factor"].max())


def training_share(frame: pd.DataFrame) -> float:
    """The largest share, in percent, of the peak of matrix products that training in bfloat16 reaches."""
    return 100 * float(_rows(frame, "training step", dtype="bfloat16")["share_of_peak"].max())


def growth(column: str) -> Figure:
    """How a column grows with the clips of a FAD: the slope of logarithms, 1 where proportional, 0 where flat."""

    def figure(frame: pd.DataFrame) -> float:
        part = _rows(frame, "FAD by clips").dropna(subset=[column, "clips"])
        if part["clips"].nunique() < 2:
            return np.nan
        return float(
            np.polyfit(np.log(part["clips"]), np.log(part[column].clip(lower=1.0 if column != "seconds" else 0)), 1)[0]
        )

    return figure


_NETWORK = (
    "both sides spend nearly all their time in the same network and on the same threads; what this project saves is in "
    "reading, statistics and the distance"
)
_LAUNCHES = (
    "a step of the small preset takes about as long for 1 clip as for 64, so launching its kernels takes the time; why "
    "the paper preset's is slow has not been looked into"
)
_UNKNOWN = "the cause has not been looked into"
_BATCHED = partial(real_time, "generation, arrays", case="8 evaluations")
TARGETS = (
    Target("codec, encode: times the fastest peer", 5, codec_ratio("encode"), "the peers' encoders are small enough"),
    Target("codec, decode: times the fastest peer", 5, codec_ratio("decode"), "the phase is integrated bin by bin"),
    Target("FAD from files: times fadtk", 20, fad_ratio, _NETWORK),
    Target("Fréchet distance, d >= 1024: times fadtk", 10, distance_ratio, "two factorisations bound both"),
    Target(
        "generation, 16 evaluations: times real time",
        50,
        generation("16 evaluations"),
        "the U-Net's evaluations on short sequences stay below the peak of matrix products",
    ),
    Target(
        "generation, 64 steps with guidance: times real time",
        20,
        generation("64 steps, guided"),
        "128 sequences through the U-Net; its evaluations stay below the peak of matrix products",
    ),
    Target(
        "the same with the U-Net compiled: times real time",
        20,
        generation("64 steps, guided, compiled"),
        "128 sequences through the U-Net; its evaluations stay below the peak of matrix products",
    ),
    Target(
        "FAD: exponent of time over clips", 1.1, growth("seconds"), "few clips, or a machine that was not quiet", True
    ),
    Target("FAD: exponent of memory over clips", 0.2, growth("memory_mb"), "memory grows with clips", True),
    Target("GPU: generation, 8 evaluations: times real time", 3_000, _BATCHED(batch=1), _UNKNOWN, gpu=True),
    Target("GPU: the same, a batch of 64", 20_000, _BATCHED(batch=64), _UNKNOWN, gpu=True),
    Target("GPU: training, % of the bfloat16 peak", 40, training_share, _LAUNCHES, gpu=True),
)


def targets(frame: pd.DataFrame, *, busy: bool = False) -> pd.DataFrame:
    """A line for each target: what was aimed at, what was measured, and whether that is enough.

    Where other programs kept the machine `busy`, that is said before any other cause.
    """
    without_gpu = bool((frame["device"] == "cpu").all())
    missed = "missed, on a busy machine: " if busy else "missed: "
    lines = []
    for target in TARGETS:
        value = target.figure(frame[frame["device"] != "cpu"] if target.gpu else frame)
        if np.isnan(value):
            verdict = "not measured: takes a GPU" if target.gpu and without_gpu else "not measured"
        else:
            verdict = "met" if target.met(value) else missed + target.cause
        wanted = f"at most {target.least:g}" if target.at_most else f"at least {target.least:g}"
        measured = "" if np.isnan(value) else f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
        lines.append({"what it is": target.name, "target": wanted, "measured": measured, "verdict": verdict})
    return pd.DataFrame(lines)


def _rows(frame: pd.DataFrame, group: str, **values: object) -> pd.DataFrame:
    part = frame[frame["group"] == group]
    for name, value in values.items():
        part = part[part[name] == value]
    return part
