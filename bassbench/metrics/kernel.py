"""Kernel audio distance (KAD): how far two sets of embeddings lie apart, without supposing that they are Gaussian.

Conventions: a song is an array of window embeddings `(windows, dim)`; a set is a sequence of songs. KAD is 100 times
the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) with the kernel
exp(-|x - y|^2 / (2 bandwidth^2)), the bandwidth being the median distance between windows of the REFERENCE set:
Chung et al. 2025, arXiv 2502.15602. Their library kadtk says the same, but its `score()` takes the bandwidth from the
evaluated set; with that set's `median_distance` as `bandwidth` this gives its value. Lower is better; for sets of
independent windows from one source it is 0 on average, and as often below as above.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.errors import BadInputError
from bassbench.metrics.song_windows import SongWindows, paired_windows, validate
from bassbench.metrics.statistics import Interval, resampled, shifted_interval

SCALE = 100.0
_BLOCK_VALUES = 1 << 21  # 16 MiB of float64 at a time
_BINS = 1 << 16


def kernel_distance(reference: np.ndarray, evaluated: np.ndarray, *, bandwidth: float | None = None) -> float:
    """KAD between embeddings `(n, dim)` and `(m, dim)`; `bandwidth` None: `median_distance(reference)`.

    Windows of a song are alike, so with several a song the estimate is a little above 0 even for sets from one
    source (by about the excess likeness within songs over the number of songs): compare at equal counts.

    Raises:
        BadInputError: fewer than two windows a side, different dims, NaN or Inf, or a bandwidth that is not above 0.
    """
    theirs, ours = SongWindows.stacked([reference], "reference"), SongWindows.stacked([evaluated], "evaluated")
    return _Sums.between(theirs, ours, bandwidth).distance()


def kernel(
    reference: Sequence[np.ndarray],
    evaluated: Sequence[np.ndarray],
    *,
    generator: np.random.Generator,
    replicates: int = 500,
    bandwidth: float | None = None,
) -> Interval:
    """`kernel_distance` of all windows of two sets of songs, with a 95 % bootstrap interval over songs of both.

    A replicate holds copies of songs. Taken as songs of their own, copies would be too alike and lift the distance;
    so pairs of windows from two copies of one song are left out of a replicate, and those within a song count once a
    copy. What bias remains is shifted away. The bandwidth stays that of the whole reference. In simulations (8 and 20
    dims, 30 and 100 songs of 7 windows, both sets from one source or not) the interval held the mean distance at that
    many songs in 97 to 100 % of draws and was 1.1 to 1.8 times as wide as need be, widest for sets from one source.
    Percentiles of plain replicates (copies kept) held it in 51 to 89 %. One song in a set: no interval (NaN).

    Raises:
        BadInputError: as `kernel_distance`; an empty set; a song without windows; replicates < 1.
    """
    theirs, ours = SongWindows.stacked(reference, "reference"), SongWindows.stacked(evaluated, "evaluated")
    sums = _Sums.between(theirs, ours, bandwidth)
    value = sums.distance()

    def replicate() -> float:
        return sums.distance(_drawn(len(theirs.counts), generator), _drawn(len(ours.counts), generator))

    low, high, _ = shifted_interval(value, replicate, replicates, possible=_resamplable(theirs, ours))
    return Interval(value, low, high)


def kernel_difference(
    reference: Sequence[np.ndarray],
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    generator: np.random.Generator,
    replicates: int = 500,
) -> Interval:
    """How much farther `first` lies from the reference than `second`, song i of one paired with song i of the other.

    Both systems share draws of songs and of the reference, so that what the songs have in common cancels.

    Raises:
        BadInputError: as `kernel`, and sets of unequal length.
    """
    theirs, ours, others = paired_windows(reference, first, second)
    one, other = _Sums.between(theirs, ours, None), _Sums.between(theirs, others, None)
    value = one.distance() - other.distance()

    def replicate() -> float:
        of_reference, of_songs = _drawn(len(theirs.counts), generator), _drawn(len(ours.counts), generator)
        return one.distance(of_reference, of_songs) - other.distance(of_reference, of_songs)

    low, high, _ = shifted_interval(value, replicate, replicates, possible=_resamplable(theirs, ours))
    return Interval(value, low, high)


def median_distance(samples: np.ndarray) -> float:
    """Median Euclidean distance between two of the samples `(n, dim)`; of an even number of pairs the lower middle.

    Exact up to a relative 1e-9, in bounded memory: pairs are counted in ever finer bins round the median.

    Raises:
        BadInputError: fewer than two samples, NaN or Inf.
    """
    samples = SongWindows.stacked([samples], "reference").samples
    count = len(samples)
    if count < 2:
        raise BadInputError(f"a median distance needs two windows or more, got {count}")
    centred = samples - samples.mean(axis=0)
    rank = (count * (count - 1) // 2 - 1) // 2
    low, high, below = 0.0, 4.0 * float((centred**2).sum(axis=1).max()), 0
    inside = count * (count - 1) // 2
    while inside > _BLOCK_VALUES and high - low > 1e-9 * high:
        edges = np.linspace(low, high, _BINS + 1)
        counts = np.zeros(_BINS, dtype=np.int64)
        for squares in _pairs(centred):
            counts += np.histogram(squares, edges)[0]
        position = below + np.cumsum(counts)
        chosen = int(np.searchsorted(position, rank, side="right"))
        below, inside = int(position[chosen] - counts[chosen]), int(counts[chosen])
        low, high = float(edges[chosen]), float(edges[chosen + 1])
    if inside > _BLOCK_VALUES:
        return float(np.sqrt((low + high) / 2))
    kept = np.concatenate([squares[(squares >= low) & (squares <= high)] for squares in _pairs(centred)])
    return float(np.sqrt(np.partition(kept, rank - below)[rank - below]))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Kernel values summed over the windows of each two songs, and the songs' window counts.

    `theirs` `(reference songs, reference songs)`, `ours` `(songs, songs)`, `cross` `(reference songs, songs)`.
    """

    theirs: np.ndarray
    ours: np.ndarray
    cross: np.ndarray
    their_counts: np.ndarray
    our_counts: np.ndarray

    @classmethod
    def between(cls, theirs: SongWindows, ours: SongWindows, bandwidth: float | None) -> "_Sums":
        validate(theirs, ours)
        fewest = min(len(theirs.samples), len(ours.samples))
        if fewest < 2:
            raise BadInputError(f"a kernel distance needs two windows or more a side, got {fewest}")
        width = median_distance(theirs.samples) if bandwidth is None else float(bandwidth)
        if not width > 0 or not np.isfinite(width):
            raise BadInputError(
                f"the kernel's bandwidth must be above 0, got {width}: are most reference windows the same?"
            )
        # The distances do not change, and lose fewer digits near the origin.
        centre = theirs.samples.mean(axis=0)
        first, second = (SongWindows(side.samples - centre, side.counts) for side in (theirs, ours))
        return cls(
            theirs=_kernel_sums(first, first, width),
            ours=_kernel_sums(second, second, width),
            cross=_kernel_sums(first, second, width),
            their_counts=theirs.counts,
            our_counts=ours.counts,
        )

    def distance(self, their_times: np.ndarray | None = None, our_times: np.ndarray | None = None) -> float:
        """KAD with song i of each set taken `times[i]` times (None: once)."""
        their_times = np.ones(len(self.their_counts), dtype=int) if their_times is None else their_times
        our_times = np.ones(len(self.our_counts), dtype=int) if our_times is None else our_times
        pairs = (their_times @ self.their_counts) * (our_times @ self.our_counts)
        cross = their_times @ self.cross @ our_times / pairs
        theirs = _mean_of_pairs(self.theirs, self.their_counts, their_times)
        return SCALE * float(theirs + _mean_of_pairs(self.ours, self.our_counts, our_times) - 2 * cross)


def _mean_of_pairs(sums: np.ndarray, counts: np.ndarray, times: np.ndarray) -> float:
    """Mean kernel over pairs of different windows, pairs of windows from two copies of one song left out."""
    own, squared = np.diag(sums), times * times
    total = times @ sums @ times - squared @ own + times @ (own - counts)
    pairs = (times @ counts) ** 2 - squared @ (counts * counts) + times @ (counts * (counts - 1))
    return float(total / pairs)


def _kernel_sums(first: SongWindows, second: SongWindows, bandwidth: float) -> np.ndarray:
    sums = np.zeros((len(first.counts), len(second.counts)))
    for start, squares in _squares(first.samples, second.samples):
        values = np.exp(squares / (-2 * bandwidth**2))
        by_song = np.add.reduceat(values, second.starts, axis=1)
        np.add.at(sums, first.song[start : start + len(values)], by_song)
    return sums


def _squares(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Squared distances `(rows, m)` from block after block of rows of `first`, with the block's first row."""
    norms, others = (first**2).sum(axis=1), (second**2).sum(axis=1)
    rows = max(_BLOCK_VALUES // len(second), 1)
    for start in range(0, len(first), rows):
        block = slice(start, start + rows)
        lengths = norms[block, None] + others
        squares = lengths - 2 * (first[block] @ second.T)
        # Rounding leaves equal points slightly apart, or nearer than 0.
        squares[squares < 1e-13 * lengths] = 0
        yield start, squares


def _pairs(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances of all pairs i < j, block after block."""
    for start, squares in _squares(samples, samples):
        rows = np.arange(start, start + len(squares))
        yield squares[np.arange(len(samples)) > rows[:, None]]


def _drawn(songs: int, generator: np.random.Generator) -> np.ndarray:
    """Resampled songs, at least two different ones: one alone may hold no pair of windows."""
    while True:
        times = resampled(songs, generator)
        if np.count_nonzero(times) > 1:
            return times


def _resamplable(*sides: SongWindows) -> bool:
    return min(len(side.counts) for side in sides) > 1
