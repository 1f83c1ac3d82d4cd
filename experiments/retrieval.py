"""Statistics of scores of mixes and basses: expected retrieval, and AUC with its interval."""

import numpy as np
from scipy.stats import hypergeom

from bassbench.metrics.statistics import RESAMPLES, Interval


def expected_retrieval(rank: np.ndarray, count: int, among: int) -> tuple[np.ndarray, np.ndarray]:
    """Hit rate and mean reciprocal rank of each mix when the others are `among` - 1 drawn from all `count` - 1."""
    above = np.arange(among)
    hits, reciprocals = [], []
    for better in np.rint(rank - 1).astype(int):
        share = hypergeom(count - 1, better, among - 1).pmf(above)
        hits.append(share[0])
        reciprocals.append(float((share / (above + 1)).sum()))
    return np.array(hits), np.array(reciprocals)


def auc_interval(own: np.ndarray, against: np.ndarray, generator: np.random.Generator) -> Interval:
    """Probability that an own score `(songs,)` is above one of `against`, ties half; bootstrap over songs.

    `against` is `(songs,)`, or `(songs, songs)` with the own scores on its diagonal, which do not count.
    """
    rows = against[:, None] if against.ndim == 1 else _without_diagonal(against)
    # above[i, j]: the share of song j's damaged scores that song i's own score is above.
    compared = own[:, None, None]
    above = ((compared > rows) + 0.5 * (compared == rows)).mean(axis=2)
    drawn = generator.integers(len(own), size=(RESAMPLES, len(own)))
    low, high = np.quantile([above[np.ix_(index, index)].mean() for index in drawn], [0.025, 0.975])
    return Interval(float(above.mean()), float(low), float(high))


def _without_diagonal(scores: np.ndarray) -> np.ndarray:
    return scores[~np.eye(len(scores), dtype=bool)].reshape(len(scores), -1)
