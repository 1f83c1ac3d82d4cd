"""Confidence intervals over songs: the song is the unit that is drawn, never the frame or the window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.metrics.progress import counted

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def mean_interval(
    scores: Sequence[float] | np.ndarray, *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """Mean of per-song scores `(songs,)` with the percentile bootstrap interval over songs.

    One song gives an undefined interval (NaN), no song an undefined mean.

    Raises:
        ValueError: a score is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"expected finite scores, one per song, got shape {values.shape}")
    if len(values) < 2:
        return Interval(float(values[0]) if len(values) else float("nan"), float("nan"), float("nan"))
    means = values[generator.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def statistic_interval(
    statistic: Callable[[np.ndarray], float], songs: int, *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """A statistic of songs, given the indices of those drawn, with the percentile bootstrap interval over songs.

    Resamples in which it is undefined (NaN) are left out; one song gives an undefined interval.
    """
    value = statistic(np.arange(songs))
    if songs < 2:
        return Interval(float(value), float("nan"), float("nan"))
    values = np.array([statistic(generator.integers(songs, size=songs)) for _ in counted(range(resamples))])
    values = values[~np.isnan(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def resampled(songs: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of `songs` is taken when as many are drawn with replacement, `(songs,)`."""
    return np.bincount(generator.integers(songs, size=songs), minlength=songs)


def shifted_interval(
    value: float, replicate: Callable[[], float], replicates: int, level: float = 0.95, *, possible: bool
) -> tuple[float, float, float]:
    """Ends of the percentile interval of `replicate()`, shifted so that replicates centre on `value`, and the shift.

    For statistics of sets whose replicates are biased, as they hold fewer distinct songs than the sample. All NaN
    where nothing can be resampled (not `possible`).
    """
    if not possible:
        return np.nan, np.nan, np.nan
    values = np.array([replicate() for _ in counted(range(replicates))])
    bias = float(values.mean() - value)
    low, high = np.quantile(values - bias, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), bias
