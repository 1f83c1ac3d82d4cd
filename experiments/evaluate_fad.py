"""FAD of basses that are compared with others of the same number, and how many times another's it is."""

import warnings

import numpy as np

from bassbench.metrics.fad import FewWindowsWarning, Resample, fad, frechet_distance
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.statistics import Interval, resampled, shifted_interval

_REPLICATES = 100


def distance(
    reference: list[Gaussian], songs: list[Gaussian], generator: np.random.Generator, *, resample: Resample
) -> Interval:
    """FAD with its interval; of few windows it is said nothing, since it stands beside FADs of as many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)
        found = fad(reference, songs, generator=generator, replicates=_REPLICATES, resample=resample)
    return Interval(found.value, found.low, found.high)


def distance_ratio(
    reference: list[Gaussian],
    songs: list[Gaussian],
    others: list[Gaussian],
    generator: np.random.Generator,
    *,
    resample: Resample,
) -> Interval:
    """The FAD of `songs` over that of `others`, both from `reference`; song i of both is drawn together."""

    def ratio(drawn: np.ndarray | None, times: np.ndarray | None) -> float:
        real = Gaussian.pooled(reference, drawn)
        over, under = (frechet_distance(real, Gaussian.pooled(side, times)) for side in (songs, others))
        return over / under if under else float("nan")

    def replicate() -> float:
        times = resampled(len(songs), generator)
        return ratio(times if resample == "paired" else resampled(len(reference), generator), times)

    value = ratio(None, None)
    low, high, _ = shifted_interval(value, replicate, _REPLICATES, possible=min(len(songs), len(reference)) > 1)
    return Interval(value, low, high)
