"""Fréchet audio distance: how far the embeddings of a set of songs lie from a reference set's.

Conventions: a song is an array of window embeddings `(windows, dim)` or the `Gaussian` of one; a set is a sequence of
songs. A song, not a window, is the unit of resampling, since the windows of a song are alike. Statistics are float64.

The distance between finite sets is biased upwards: two samples of one population lie apart, the more so the fewer
songs there are. `fad` reports the plain distance, comparable only at equal numbers of songs; `fad_infinity`
extrapolates to infinitely many.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bassbench.errors import BadInputError
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.statistics import resampled, shifted_interval

Song = np.ndarray | Gaussian
Resample = Literal["independent", "paired", "evaluated"]


class FewWindowsWarning(UserWarning):
    """There are fewer windows than dimensions: covariances are singular and the distance depends on the count."""


@dataclass(frozen=True)
class FadResult:
    """A Fréchet audio distance with the ends of its confidence interval.

    The interval is for the distance that sets of this many songs have on average, so it tells what another draw of
    songs could have given. `bias` is how far bootstrap replicates lie above the value on average: roughly what the
    finite number of songs adds, an underestimate when windows are few. With one song in a resampled set there is no
    interval: `low`, `high` and `bias` are NaN.
    """

    value: float
    low: float
    high: float
    bias: float
    songs: int
    reference_songs: int
    windows: int
    reference_windows: int
    dim: int
    replicates: int


@dataclass(frozen=True)
class FadInfinity:
    """A distance extrapolated to infinitely many songs; it may fall slightly below zero.

    `points` are (1 / fraction of the songs, mean distance at it), `slope` what each unit of the former adds, and `r2`
    the share of the points' variance that the line explains.
    """

    value: float
    slope: float
    r2: float
    points: tuple[tuple[float, float], ...]


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The (squared) Fréchet distance |mu_a - mu_b|^2 + Tr(A + B - 2 (A B)^1/2), never negative.

    Dowson & Landau 1982; as FAD, Kilgour et al. 2019 (arXiv 1812.08466). Warns with `FewWindowsWarning` when either
    side has fewer samples than dimensions.

    Raises:
        BadInputError: different dims, or a side with fewer than two samples.
    """
    validate(a, b)
    _warn_of_few_windows(a, b)
    return _Reference(a).distance_to(b)


def fad(
    reference: Sequence[Song],
    evaluated: Sequence[Song],
    *,
    generator: np.random.Generator,
    replicates: int = 500,
    confidence: float = 0.95,
    resample: Resample = "independent",
) -> FadResult:
    """Fréchet audio distance between two sets of songs, with a bootstrap interval over songs.

    `resample` says which songs another study would have drawn anew: "independent", those of both sets (the default);
    "paired", both with the same draws, where song i of one belongs to song i of the other (a codec's output and its
    input); "evaluated", only those of the evaluated set, for statements about this very reference set.

    A replicate holds fewer distinct songs than the sample (63 %), so replicates lie above the value, the whole
    percentile interval often with them. They are shifted down by their mean excess before percentiles are taken. In
    simulations (20 and 100 dims, 30 and 100 songs of 7 windows) the nominal 95 % interval held the mean distance at
    that many songs in 92 to 100 % of draws, the unshifted one in 0 to 90 %; the basic bootstrap interval held the
    distance of the populations in 0 to 100 %, hence no interval is claimed for that.

    Raises:
        BadInputError: an empty set, different dims, too few windows, unequal sets to pair, or a bad option.
    """
    if resample not in get_args(Resample):
        raise BadInputError(f"fad needs resample {', '.join(map(repr, get_args(Resample)))}, got {resample!r}")
    ours, theirs = _songs(evaluated, "evaluated"), _songs(reference, "reference")
    if resample == "paired" and len(ours) != len(theirs):
        raise BadInputError(f"cannot pair {len(ours)} evaluated songs with {len(theirs)} reference songs")
    whole, standard = Gaussian.pooled(ours), Gaussian.pooled(theirs)
    validate(standard, whole)
    _warn_of_few_windows(standard, whole)
    fixed = _Reference(standard)
    value = fixed.distance_to(whole)

    def replicate() -> float:
        times = resampled(len(ours), generator)
        side = fixed
        if resample != "evaluated":
            drawn = times if resample == "paired" else resampled(len(theirs), generator)
            side = _Reference(Gaussian.pooled(theirs, drawn))
        return side.distance_to(Gaussian.pooled(ours, times))

    resampled_songs = [ours] if resample == "evaluated" else [ours, theirs]
    low, high, bias = shifted_interval(
        value, replicate, replicates, confidence, possible=min(map(len, resampled_songs)) > 1
    )
    return FadResult(
        value=value,
        low=max(low, 0.0) if np.isfinite(low) else low,
        high=high,
        bias=bias,
        songs=len(ours),
        reference_songs=len(theirs),
        windows=whole.count,
        reference_windows=standard.count,
        dim=whole.dim,
        replicates=replicates,
    )


def fad_difference(
    reference: Sequence[Song],
    first: Sequence[Song],
    second: Sequence[Song],
    *,
    generator: np.random.Generator,
    replicates: int = 500,
    confidence: float = 0.95,
) -> FadResult:
    """How much farther `first` lies from the reference than `second`, song i of one paired with song i of the other.

    The replicates of both systems share their draws of songs and of the reference, so that what the songs have in
    common cancels: the systems differ at this confidence if the interval leaves out zero. `songs` counts pairs and
    `windows` those of `first`.

    Raises:
        BadInputError: as `fad`, and sets of unequal length.
    """
    theirs, ours, others = _songs(reference, "reference"), _songs(first, "first"), _songs(second, "second")
    if len(ours) != len(others):
        raise BadInputError(f"cannot pair {len(ours)} songs with {len(others)}: score both systems on the same songs")
    standard, one, other = (Gaussian.pooled(songs) for songs in (theirs, ours, others))
    validate(standard, one)
    validate(standard, other)
    _warn_of_few_windows(standard, one, other)

    def difference(drawn: np.ndarray | None, times: np.ndarray | None) -> float:
        side = _Reference(Gaussian.pooled(theirs, drawn))
        return side.distance_to(Gaussian.pooled(ours, times)) - side.distance_to(Gaussian.pooled(others, times))

    def replicate() -> float:
        return difference(resampled(len(theirs), generator), resampled(len(ours), generator))

    value = difference(None, None)
    low, high, bias = shifted_interval(
        value, replicate, replicates, confidence, possible=min(len(ours), len(theirs)) > 1
    )
    return FadResult(
        value, low, high, bias, len(ours), len(theirs), one.count, standard.count, standard.dim, replicates
    )


def fad_infinity(
    reference: Sequence[Song],
    evaluated: Sequence[Song],
    *,
    generator: np.random.Generator,
    steps: int = 8,
    draws: int = 10,
    smallest: float = 0.5,
) -> FadInfinity:
    """The distance at infinitely many songs, by a line through distances at growing numbers of songs.

    After Gui et al. 2024 (arXiv 2311.01616), with three differences: subsets are of songs and without replacement
    (a set drawn with replacement holds fewer distinct songs than it counts); both sets are thinned to the same
    fraction, as both add to the bias; each of `steps` fractions from `smallest` to 1 is the mean of `draws` subsets.
    The bias is a straight line in 1 / songs only where windows outnumber dimensions in the smallest subset; else
    part of it remains, and a `FewWindowsWarning` says so.

    Raises:
        BadInputError: as `fad`; fewer than four songs in a set; a bad option.
    """
    ours, theirs = _songs(evaluated, "evaluated"), _songs(reference, "reference")
    if min(len(ours), len(theirs)) < 4:
        raise BadInputError(f"FAD-infinity needs 4 songs or more a set, got {len(theirs)} and {len(ours)}; use fad")
    if steps < 2 or draws < 1 or not 0 < smallest < 1:
        raise BadInputError(
            f"fad_infinity needs steps >= 2, draws >= 1, 0 < smallest < 1; got {steps}, {draws}, {smallest}"
        )
    points, thinnest = [], []
    for fraction in np.linspace(smallest, 1, steps):
        sizes = [max(round(fraction * len(songs)), 2) for songs in (theirs, ours)]
        distances = []
        for _ in range(draws if fraction < 1 else 1):
            drawn = [
                Gaussian.pooled([songs[i] for i in generator.permutation(len(songs))[:size]])
                for songs, size in zip((theirs, ours), sizes, strict=True)
            ]
            validate(*drawn)
            thinnest += drawn
            distances.append(_Reference(drawn[0]).distance_to(drawn[1]))
        # The bias of each side goes with 1 / its songs; rounding can make the two fractions differ slightly.
        inverse = float(np.mean([len(theirs) / sizes[0], len(ours) / sizes[1]]))
        points.append((inverse, float(np.mean(distances))))
    _warn_of_few_windows(*thinnest)
    inverses, values = np.array(points).T
    slope, value = np.polyfit(inverses, values, 1)
    spread = float(((values - values.mean()) ** 2).sum())
    residual = float(((values - value - slope * inverses) ** 2).sum())
    return FadInfinity(float(value), float(slope), 1 - residual / spread if spread else 1.0, tuple(points))


def per_song_fad(reference: Sequence[Song], evaluated: Sequence[Song]) -> np.ndarray:
    """The distance of each song's windows to the whole reference set, `(songs,)`: which songs lie far out.

    Gui et al. 2024 (arXiv 2311.01616), section 5. A song has few windows, so values are large, the larger the fewer
    there are, and compare only at equal lengths. A song of one window has no distance (NaN).

    Raises:
        BadInputError: an empty set or song, or different dims.
    """
    ours, standard = _songs(evaluated, "evaluated"), Gaussian.pooled(_songs(reference, "reference"))
    side = _Reference(standard)
    distances = []
    for song in ours:
        if song.count > 1:
            validate(standard, song)
        distances.append(side.distance_to(song) if song.count > 1 else np.nan)
    return np.array(distances)


def validate(a: Gaussian, b: Gaussian) -> None:
    """Check that a distance between the two is defined.

    Raises:
        BadInputError: different dims, or a side with fewer than two samples.
    """
    if a.dim != b.dim:
        raise BadInputError(f"embeddings of size {a.dim} and {b.dim} cannot be compared: use one embedder for both")
    if min(a.count, b.count) < 2:
        raise BadInputError(f"a Fréchet distance needs two windows or more a side, got {a.count} and {b.count}")


class _Reference:
    """One side of a distance, with what need not be computed again for each other side."""

    def __init__(self, gaussian: Gaussian) -> None:
        covariance = gaussian.covariance
        self.mean, self.trace = gaussian.mean, float(np.trace(covariance))
        self.factor = _factor(covariance)

    def distance_to(self, other: Gaussian) -> float:
        covariance = other.covariance
        # A = L L^T, so A B and the symmetric L^T B L have the same eigenvalues; rounding makes some slightly negative.
        product = self.factor.T @ covariance @ self.factor
        eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
        shift = self.mean - other.mean
        distance = shift @ shift + self.trace + np.trace(covariance) - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum()
        return max(float(distance), 0.0)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """L with L L^T = covariance: Cholesky's, or for a singular covariance the symmetric root."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _songs(songs: Sequence[Song], name: str) -> list[Gaussian]:
    statistics = [song if isinstance(song, Gaussian) else Gaussian.from_samples(song) for song in songs]
    if not statistics:
        raise BadInputError(f"the {name} set is empty: give at least one song")
    if not all(song.count for song in statistics):
        raise BadInputError(f"the {name} set has a song without windows: leave out what is shorter than one window")
    return statistics


def _warn_of_few_windows(*sides: Gaussian) -> None:
    fewest, dim = min(side.count for side in sides), sides[0].dim
    if fewest < dim:
        message = f"{fewest} windows for {dim} dimensions: compare only at equal counts, better use more songs"
        warnings.warn(message, FewWindowsWarning, stacklevel=3)
