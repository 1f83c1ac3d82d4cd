"""Confidence intervals over songs, and tests of whether two systems differ.

The song is the unit that is drawn, never the frame or the window; differences are paired by song, so that what the
songs have in common cancels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.errors import BadInputError
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


def auc_interval(own: np.ndarray, against: np.ndarray, generator: np.random.Generator) -> Interval:
    """Probability that an own score `(songs,)` is above one of `against`, ties half; bootstrap over songs.

    `against` is `(songs,)`, or `(songs, songs)` with the own scores on its diagonal, which do not count.
    """
    others = ~np.eye(len(own), dtype=bool)
    rows = against[:, None] if against.ndim == 1 else against[others].reshape(len(own), -1)
    # above[i, j]: the share of song j's other scores that song i's own score is above.
    compared = own[:, None, None]
    above = ((compared > rows) + 0.5 * (compared == rows)).mean(axis=2)
    drawn = generator.integers(len(own), size=(RESAMPLES, len(own)))
    low, high = np.quantile([above[np.ix_(index, index)].mean() for index in drawn], [0.025, 0.975])
    return Interval(float(above.mean()), float(low), float(high))


def resampled(songs: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of `songs` is taken when as many are drawn with replacement, `(songs,)`."""
    return np.bincount(generator.integers(songs, size=songs), minlength=songs)


def shifted_interval(
    value: float, replicate: Callable[[], float], replicates: int, confidence: float = 0.95, *, possible: bool
) -> tuple[float, float, float]:
    """Ends of the percentile interval of `replicate()`, shifted so that replicates centre on `value`, and the shift.

    For statistics of sets whose replicates are biased, as they hold fewer distinct songs than the sample. All NaN
    where nothing can be resampled (not `possible`).

    Raises:
        BadInputError: replicates < 1, or a confidence outside (0, 1).
    """
    if replicates < 1 or not 0 < confidence < 1:
        raise BadInputError(
            f"a bootstrap needs replicates >= 1 and 0 < confidence < 1, got {replicates} and {confidence}"
        )
    if not possible:
        return np.nan, np.nan, np.nan
    values = np.array([replicate() for _ in counted(range(replicates))])
    bias = float(values.mean() - value)
    low, high = np.quantile(values - bias, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high), bias


_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of paired scores, its 95 % bootstrap interval, and a two-sided permutation p-value."""

    value: float
    low: float
    high: float
    p: float
    songs: int


def paired_difference(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, *, generator: np.random.Generator
) -> PairedDifference:
    """Compare scores `(songs,)` of two systems on the same songs: first minus second.

    The permutation test flips the sign of each song's difference at random: were the systems alike, either could have
    given either score. Its p-value counts the order seen as one of the permutations, so it is never 0. Fewer than two
    songs have no interval and no test (NaN).

    Raises:
        ValueError: the scores differ in number or are not finite.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    interval = mean_interval(differences, generator=generator)
    count = len(differences)
    if count < 2:
        return PairedDifference(interval.value, np.nan, np.nan, np.nan, count)
    as_extreme, done = 0, 0
    while done < _PERMUTATIONS:
        block = min(1_000, _PERMUTATIONS - done)  # bounded memory for any number of songs
        signs = generator.choice([-1.0, 1.0], size=(block, count))
        means = np.abs(signs @ differences) / count
        as_extreme += int(np.sum(means >= abs(interval.value) * (1 - 1e-12)))
        done += block
    return PairedDifference(interval.value, interval.low, interval.high, (as_extreme + 1) / (done + 1), count)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values `(tests,)` adjusted for their number (Holm 1979), in the same order; NaN stays and is not counted."""
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(given), np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted
