"""One side of the pairs ("mix" or "bass") of a dataset, for training an autoencoder.

`reference_model.train_autoencoder.train(settings, clips, validation)` takes what `training_clips` gives.
"""

from dataclasses import dataclass

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.plugins import warn_once
from bassbench.stems.layouts import Coverage, StemDataset
from bassbench.stems.track import BASS, Track
from bassbench.stems.windows import draw_subset, sounds, window_generator

_DRAWS = 8


@dataclass(frozen=True)
class StemAudioClips:
    """`clips[i]` is float32 `(2, up to samples)`: a window of a track, every window once before any comes again.

    A mix is a random non-empty subset of the other stems, drawn from (seed, i). A silent window is replaced by another
    one, drawn from (seed, i) too; after eight silent ones silence is what comes back.
    """

    tracks: tuple[Track, ...]
    starts: tuple[tuple[int, int], ...]
    """(track, sample) of every window."""
    which: str
    samples: int
    seed: int
    rounds: int

    def __len__(self) -> int:
        return len(self.starts) * self.rounds

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        generator = window_generator(f"{self.which} {index}", self.seed)
        place = index % len(self.starts)
        for _ in range(_DRAWS):
            audio = self._read(*self.starts[place], generator)
            if sounds(audio).any():
                break
            place = int(generator.integers(len(self.starts)))
        return audio

    def _read(self, number: int, start: int, generator: np.random.Generator) -> np.ndarray:
        track = self.tracks[number]
        samples = min(self.samples, track.samples - start)
        if self.which == BASS:
            return track.read([BASS], start, samples)
        if len(track.others) == 1:
            return track.read(track.others, start, samples)
        stems = {role: track.read([role], start, samples) for role in track.others}
        mix = np.sum([stems[role] for role in draw_subset(stems, generator)], axis=0)
        return mix / max(1.0, float(np.abs(mix).max(initial=0.0)))


def training_clips(
    dataset: StemDataset, which: str, *, seconds: float = 12.0, seed: int = 0, rounds: int = 4
) -> StemAudioClips:
    """Windows of `seconds` over all tracks that have the stem; `rounds` times, with other subsets each time.

    Raises:
        BadInputError: `which` is neither "mix" nor "bass"; no track that can be read has it.
    """
    if which not in ("mix", BASS):
        raise BadInputError(f"a pair has the stems 'mix' and 'bass', not '{which}'")
    if seconds <= 0 or rounds <= 0:
        raise ValueError(f"seconds and rounds must be positive, got {seconds} and {rounds}")
    coverage, tracks = Coverage.of(dataset), []
    for track in dataset.tracks:
        if BASS in track.stems if which == BASS else track.others:
            try:
                track.samples  # noqa: B018 - reads the headers
                tracks.append(track)
            except BadInputError as error:
                coverage.left_out[track.name] = str(error)
    if coverage.left_out:
        warn_once(f"{dataset.path}: {coverage}")
    if not tracks:
        raise BadInputError(f"{dataset.path}: no track ({dataset.layout}) has a {which}; choose another dataset")
    samples = round(seconds * SAMPLE_RATE)
    starts = [(number, start) for number, track in enumerate(tracks) for start in even_starts(track.samples, samples)]
    return StemAudioClips(tuple(tracks), tuple(starts), which, samples, seed, rounds)


def even_starts(length: int, samples: int) -> list[int]:
    """Starts of the fewest windows of `samples` that cover `length`, evenly spread; one where it is shorter."""
    count = max(-(-length // samples), 1)
    return [round(i * max(length - samples, 0) / max(count - 1, 1)) for i in range(count)]
