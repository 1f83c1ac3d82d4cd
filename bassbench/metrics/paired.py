"""Are two systems different?  Paired by song: what the songs have in common cancels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.metrics.bootstrap import mean_interval

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
