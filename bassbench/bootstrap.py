"""Confidence intervals of means over songs: the song is the unit that is drawn, never the frame or the window."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
