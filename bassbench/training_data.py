"""Where training pairs come from: a split of the song bank by name, a folder of stems in a known layout, or shards."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from bassbench.bad_input import BadInputError
from bassbench.datasets import TEST_ONLY, ClipSource, StemClips, clip_requests, stem_clips
from bassbench.shard_stems import ShardedStems, sharded_stems
from bassbench.shards import is_sharded
from bassbench.stems.layouts import StemDataset, open_dataset
from bassbench.stems.training import StemAudioClips, training_clips
from bassbench.stems.windows import window_requests

_WINDOWS_PER_TRACK = 8


def training_requests(
    data: str, *, count: int | None = None, variants: int = 1, families: Sequence[str] = ()
) -> Sequence[ClipSource]:
    """Requests for pairs to train on.

    Of the bank: `variants` renderings of `count` songs of a split, timbres varied and some parts left out, by the
    rendering families that are switched on. Of a folder:
    windows of its tracks (those for training, where it has splits), with random subsets of the other stems.

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
        ]
    dataset = _training_tracks(Path(data))
    windows = (
        window_requests(dataset, seed=seed, per_track=_WINDOWS_PER_TRACK, subset=True) for seed in range(variants)
    )
    limit = None if count is None else count * _WINDOWS_PER_TRACK * variants
    return list(itertools.islice(itertools.chain.from_iterable(windows), limit))


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


def _training_tracks(folder: Path) -> StemDataset:
    dataset = open_dataset(folder)
    splits = {track.split for track in dataset.tracks}
    return dataset.split("train") if "train" in splits else dataset
