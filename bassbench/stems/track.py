"""One piece of a dataset: stems by role, each the sum of its files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bassbench.stems.files import read_header, read_window

BASS = "bass"


@dataclass(frozen=True)
class Track:
    """A piece whose stems lie in files of their own.

    The stem "bass" is the bass; the mix is the sum of all others, so a plain recording is a track with one stem and
    no bass. `midi` names the MIDI files that stems were played from, where a dataset has them; `notes` says what was
    left out of it. A stem that ends before others is silent from there.
    """

    name: str
    stems: Mapping[str, tuple[Path, ...]]
    split: str | None = None
    midi: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """Roles of the stems that make the mix."""
        return tuple(role for role in self.stems if role != BASS)

    @property
    def files(self) -> tuple[Path, ...]:
        """All audio files."""
        return tuple(path for paths in self.stems.values() for path in paths)

    @property
    def is_pair(self) -> bool:
        """Whether there are both a bass and something else."""
        return BASS in self.stems and bool(self.others)

    @cached_property
    def samples(self) -> int:
        """Length of the longest stem, in samples at 44.1 kHz."""
        return max(read_header(path).samples for path in self.files)

    def read(self, roles: Iterable[str], start: int, samples: int) -> np.ndarray:
        """Sum the stems of some roles over a window at 44.1 kHz: float32 `(2, samples)`.

        Raises:
            BadInputError: a file cannot be read.
        """
        total = np.zeros((2, samples), np.float32)
        for role in roles:
            for path in self.stems[role]:
                total += read_window(path, start, samples)
        return total
