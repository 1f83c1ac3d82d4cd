"""Where training pairs come from: a split of the song bank by name, a folder of stems in a known layout, or shards."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.plugins import warn_once
from bassbench.songs.clips import TEST_ONLY, ClipSource, StemClips, clip_requests, stem_clips
from bassbench.songs.render import CLIP_SAMPLES
from bassbench.stems.layouts import Coverage, StemDataset, open_dataset
from bassbench.stems.shard_files import is_sharded
from bassbench.stems.shards import ShardedStems, sharded_stems
from bassbench.stems.track import BASS, Track
from bassbench.stems.windows import (
    WindowRequest,
    draw_subset,
    even_starts,
    sounds,
    window_generator,
    window_requests,
)

_LONG = 2 * CLIP_SAMPLES  # so that crops of the paper's length can begin anywhere in it
_LONG_WINDOWS, _WINDOWS = 4, 8  # a track
_DRAWS = 8  # of windows, before silence is what comes back


def training_requests(
    data: str,
    *,
    count: int | None = None,
    variants: int = 1,
    subsets: int = 1,
    families: Sequence[str] = (),
) -> Sequence[ClipSource]:
    """Requests for pairs to train on.

    Of the bank: `variants` renderings of `count` songs of a split, timbres varied and some parts left out. Of a folder:
    windows of `count` of its tracks (those for training, where it has splits), twice as long as the paper's crops where
    the track has such, with random subsets of the other stems. Each rendering or window comes with `subsets` subsets.

    Raises:
        BadInputError: an unknown split or one for testing only, more songs asked for than there are, a folder that
            cannot be used, or families for one.
    """
    refuse_families(data, families)
    if not Path(data).is_dir():
        if data in TEST_ONLY:
            raise BadInputError(f"the split '{data}' is for testing only; train on 'train'")
        return [
            request
            for seed in range(variants)
            for request in clip_requests(
                data, count, seed=seed, samples=None, subset=True, effects=True, families=families
            )
            for request in (dataclasses.replace(request, subset_draw=draw) for draw in range(subsets))
        ]
    dataset = _training_tracks(Path(data))
    coverage = Coverage.of_pairs(dataset)
    requests = [
        dataclasses.replace(window, subset=seed + variants * draw)
        for seed in range(variants)
        for track in itertools.islice(_windows(dataset, seed, coverage), count)
        for window in track
        for draw in range(subsets)
    ]
    if coverage.left_out:
        warn_once(f"{data}: {coverage}")
    return requests


def _windows(dataset: StemDataset, seed: int, coverage: Coverage) -> Iterator[list[WindowRequest]]:
    """The windows of each track that has some; `coverage` is told of the others."""
    if not dataset.pairs:
        raise BadInputError(f"{dataset.path}: no track has both a bass and another stem; choose other data")
    for track in dataset.pairs:
        alone = dataclasses.replace(dataset, tracks=(track,))
        found = list(window_requests(alone, _LONG, seed=seed, per_track=_LONG_WINDOWS, subset=True))
        if not found:
            found = list(window_requests(alone, seed=seed, per_track=_WINDOWS, subset=True, coverage=coverage))
        if found:
            yield found


def _training_tracks(folder: Path) -> StemDataset:
    dataset = open_dataset(folder)
    return dataset.split("train") if dataset.has_split("train") else dataset


# One side of the pairs of a data set, for the autoencoders


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


def training_stems(
    data: str, which: str, *, count: int | None = None, families: Sequence[str] = (), processes: int = 1
) -> StemClips | StemAudioClips | ShardedStems:
    """One stem ("mix" or "bass") of training clips, for the autoencoders; a folder of mixes will do for "mix".

    Of shards only those on disk.

    Raises:
        BadInputError: as `training_requests`.
    """
    refuse_families(data, families)
    if is_sharded(data):
        return sharded_stems(data, which)
    if not Path(data).is_dir():
        return stem_clips(data, which, count, families=families, processes=processes)
    return training_clips(_training_tracks(Path(data)), which)


def refuse_families(data: str, families: Sequence[str]) -> None:
    """Raise BadInputError for rendering families of data that is audio already: folders and shards."""
    if families and (is_sharded(data) or Path(data).is_dir()):
        raise BadInputError(f"--families render the song bank's splits, and {data} is audio already: leave them out")
