"""The windows of many songs in one array: what the set metrics that compare window with window work on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.errors import BadInputError


@dataclass(frozen=True, eq=False)
class SongWindows:
    """Embeddings `(windows, dim)`, float64, song after song; `counts` `(songs,)` says how many windows each has."""

    samples: np.ndarray
    counts: np.ndarray

    @classmethod
    def stacked(cls, songs: Sequence[np.ndarray], name: str) -> "SongWindows":
        """Songs of window embeddings `(windows, dim)` one after the other; `name` is what errors call the set.

        Raises:
            BadInputError: no songs, a song without windows, different dims, NaN or Inf.
        """
        arrays = [np.asarray(song, dtype=np.float64) for song in songs]
        if not arrays:
            raise BadInputError(f"the {name} set is empty: give at least one song")
        if any(array.ndim != 2 for array in arrays):
            raise BadInputError(f"the {name} set holds something other than embeddings (windows, dim)")
        if not all(map(len, arrays)):
            raise BadInputError(f"the {name} set has a song without windows: leave out what is shorter than one window")
        if len({array.shape[1] for array in arrays}) > 1:
            raise BadInputError(f"the {name} set mixes embeddings of different sizes: use one embedder for all songs")
        samples = np.concatenate(arrays)
        if not np.isfinite(samples).all():
            raise BadInputError(f"the {name} set's embeddings hold NaN or Inf; check the audio they were made from")
        return cls(samples, np.array([len(array) for array in arrays]))

    @classmethod
    def singly(cls, samples: np.ndarray, name: str) -> "SongWindows":
        """Samples `(count, dim)`, each a song of its own.

        Raises:
            BadInputError: as `stacked`.
        """
        whole = cls.stacked([samples], name)
        return cls(whole.samples, np.ones(len(whole.samples), dtype=int))

    @property
    def starts(self) -> np.ndarray:
        """Index of each song's first window, `(songs,)`."""
        return np.cumsum(self.counts) - self.counts

    @property
    def song(self) -> np.ndarray:
        """Index of each window's song, `(windows,)`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def validate(reference: SongWindows, *others: SongWindows) -> None:
    """Check that the sets can be compared.

    Raises:
        BadInputError: different dims.
    """
    dims = [side.samples.shape[1] for side in (reference, *others)]
    if len(set(dims)) > 1:
        raise BadInputError(f"embeddings of sizes {dims} cannot be compared: use one embedder for both")


def paired_windows(
    reference: Sequence[np.ndarray], first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> tuple[SongWindows, SongWindows, SongWindows]:
    """The windows of a reference and of two sets that are compared with it, song i of one paired with i of the other.

    Raises:
        BadInputError: as `SongWindows.stacked`, or different numbers of songs in the two.
    """
    named = {"reference": reference, "first": first, "second": second}
    theirs, ours, others = (SongWindows.stacked(songs, name) for name, songs in named.items())
    if len(ours.counts) != len(others.counts):
        raise BadInputError(
            f"cannot pair {len(ours.counts)} songs with {len(others.counts)}: score both systems on the same songs"
        )
    return theirs, ours, others
