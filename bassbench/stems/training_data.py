"""Where training pairs come from: a split of the song bank by name, a folder of stems in a known layout, or shards."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.plugins import warn_once
from bassbench.songs.clips import TEST_ONLY, ClipSource, StemClips, clip_requests, stem_clips
from bassbench.songs.render import CLIP_SAMPLES
from bassbench.stems.layouts import Coverage, StemDataset, open_dataset
from bassbench.stems.shard_files import is_sharded
from bassbench.stems.shards import ShardedStems, sharded_stems
from bassbench.stems.training import StemAudioClips, training_clips
from bassbench.stems.windows import WindowRequest, window_requests

_LONG = 2 * CLIP_SAMPLES  # so that crops of the paper's length can begin anywhere in it
_LONG_WINDOWS, _WINDOWS = 4, 8  # a track


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
        BadInputError: an unknown split or one for testing only, more songs asked for than there are, or a folder that
            cannot be used.
    """
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


def training_stems(
    data: str, which: str, *, count: int | None = None, families: Sequence[str] = (), processes: int = 1
) -> StemClips | StemAudioClips | ShardedStems:
    """One stem ("mix" or "bass") of training clips, for the autoencoders; a folder of mixes will do for "mix".

    Of shards only those on disk.

    Raises:
        BadInputError: as `training_requests`.
    """
    if is_sharded(data):
        return sharded_stems(data, which)
    if not Path(data).is_dir():
        return stem_clips(data, which, count, families=families, processes=processes)
    return training_clips(_training_tracks(Path(data)), which)


def _training_tracks(folder: Path) -> StemDataset:
    dataset = open_dataset(folder)
    return dataset.split("train") if dataset.has_split("train") else dataset
