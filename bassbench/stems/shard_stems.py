"""Stems of tar shards on disk for training an autoencoder: read where they lie, in any order.

Only places in the files are in memory, so the shards may be far larger than it. What is drawn depends on the seed and
the index alone, not on which process asks.
"""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bassbench.errors import BadInputError
from bassbench.stems.shard_files import MOST_SAMPLES, decoded_stem, sample_about, sample_files, shard_urls
from bassbench.stems.track import BASS
from bassbench.stems.windows import draw_subset, window_generator


@dataclass(frozen=True)
class Place:
    """One stem of a sample: its bytes in a shard."""

    shard: str
    offset: int
    size: int

    def read(self, most: int = MOST_SAMPLES) -> np.ndarray:
        """Audio `(2, samples)`, float32.

        Raises:
            BadInputError: the shard has changed or cannot be read, or this is more than `most` samples.
        """
        try:
            with Path(self.shard).open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise BadInputError(f"{self.shard}: cannot read ({error.strerror})") from None
        return decoded_stem(data, self.shard, most)


@dataclass(frozen=True)
class ShardedStems:
    """`clips[i]` is float32 `(2, samples)`: the bass of a sample, or a random subset of its other stems summed.

    Every sample comes once before any comes again; a mix is drawn from (seed, i) and kept within full scale.
    """

    samples: tuple[dict[str, Place], ...]
    """Per sample the wanted stems by role."""
    rounds: int
    seed: int

    def __len__(self) -> int:
        return len(self.samples) * self.rounds

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        stems: dict[str, np.ndarray] = {}
        left = MOST_SAMPLES
        for role, place in self.samples[index % len(self.samples)].items():
            stems[role] = place.read(left)
            left -= stems[role].shape[1]
        if BASS in stems:
            return stems[BASS]
        kept = draw_subset(stems, window_generator(f"mix {index}", self.seed))
        mix = np.sum([stems[role] for role in kept], axis=0)
        return mix / max(1.0, float(np.abs(mix).max(initial=0.0)))


def sharded_stems(data: str, which: str, *, seed: int = 0, rounds: int = 4) -> ShardedStems:
    """The stem "bass" or "mix" of every sample of the shards in a folder (`bassbench data shard` writes them).

    Raises:
        BadInputError: shards that are not on disk, are missing or damaged, or hold no such stem.
    """
    shards = shard_urls(data)
    if elsewhere := [shard for shard in shards if not Path(shard).is_file()]:
        raise BadInputError(f"{elsewhere[0]}: autoencoders are trained on shards on disk; download or mount them first")
    samples = []
    for shard in shards:
        for stems in _places(shard):
            wanted = {role: place for role, place in stems.items() if (role == BASS) == (which == BASS)}
            if wanted:
                samples.append(wanted)
    if not samples:
        raise BadInputError(f"{data}: no sample has a {which}; choose other shards")
    return ShardedStems(tuple(samples), rounds, seed)


def _places(shard: str) -> tuple[dict[str, Place], ...]:
    """Where the stems of each sample of a shard lie, by role."""
    samples: dict[str, dict[str, Place]] = {}
    roles: dict[str, list[str]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for key, kind, member in sample_files(tar, shard):
                if kind == "json":
                    file = tar.extractfile(member)
                    assert file is not None  # it is a regular file
                    roles[key] = sample_about(file.read())["stems"]
                else:
                    samples.setdefault(key, {})[kind] = Place(shard, member.offset_data, member.size)
        return tuple(
            {role: samples[key][f"{number}.flac"] for number, role in enumerate(names)} for key, names in roles.items()
        )
    except BadInputError:
        raise
    except (OSError, tarfile.TarError, ValueError, KeyError, EOFError) as error:
        raise BadInputError(f"{shard}: not a whole shard of this format ({error}); write the shards again") from None
