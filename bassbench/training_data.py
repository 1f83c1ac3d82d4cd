"""Where training pairs come from: a split of the song bank by name, a folder of stems in a known layout, or shards."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from bassbench.bad_input import BadInputError
from bassbench.datasets import UNSEEN_FONT, ClipSource, StemClips, clip_requests, stem_clips
from bassbench.plugins import warn_once
from bassbench.shard_files import is_sharded
from bassbench.shard_stems import ShardedStems, sharded_stems
from bassbench.stems.coverage import Coverage
from bassbench.stems.layouts import StemDataset, open_dataset
from bassbench.stems.training import StemAudioClips, training_clips
from bassbench.stems.windows import window_requests

_WINDOWS_PER_TRACK = 8


def training_requests(data: str, *, count: int | None = None, variants: int = 1) -> Sequence[ClipSource]:
    """Requests for pairs to train on.

    Of the bank: `variants` renderings of `count` songs of a split, timbres varied and some parts left out. Of a folder:
    windows of its tracks (those for training, where it has splits), with random subsets of the other stems.

    Raises:
        BadInputError: an unknown split or one for testing only, more songs asked for than there are, or a folder that
            cannot be used.
    """
    if not Path(data).is_dir():
        if data in ("human", UNSEEN_FONT):
            raise BadInputError(f"the split '{data}' is for testing only; train on 'train'")
        return [
            request
            for seed in range(variants)
            for request in clip_requests(data, count, seed=seed, samples=None, subset=True, effects=True)
        ]
    dataset = _training_tracks(Path(data))
    coverage = Coverage.of_pairs(dataset)
    windows = (
        window_requests(dataset, seed=seed, per_track=_WINDOWS_PER_TRACK, subset=True, coverage=coverage)
        for seed in range(variants)
    )
    limit = None if count is None else count * _WINDOWS_PER_TRACK * variants
    requests = list(itertools.islice(itertools.chain.from_iterable(windows), limit))
    if coverage.left_out:
        warn_once(f"{data}: {coverage}")
    return requests


def training_stems(
    data: str, which: str, *, count: int | None = None, processes: int = 1
) -> StemClips | StemAudioClips | ShardedStems:
    """One stem ("mix" or "bass") of training clips, for the autoencoders; a folder of mixes will do for "mix".

    Of shards only those on disk.

    Raises:
        BadInputError: as `training_requests`.
    """
    if is_sharded(data):
        return sharded_stems(data, which)
    if not Path(data).is_dir():
        return stem_clips(data, which, count, processes=processes)
    return training_clips(_training_tracks(Path(data)), which)


def _training_tracks(folder: Path) -> StemDataset:
    dataset = open_dataset(folder)
    return dataset.split("train") if dataset.has_split("train") else dataset
