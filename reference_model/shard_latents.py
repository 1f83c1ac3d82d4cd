"""Latents of clips that lie in tar shards, for data beyond one disk: every process encodes its own shards, once.

Latents take a three-hundredth of the audio's space, so those of all shards lie in one cache that every process reads.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import parse_json, write_text
from bassbench.songs.render import Clip
from bassbench.stems.shard_files import shard_urls
from bassbench.stems.shards import ShardedClips, shard_hash
from reference_model.autoencoder import Autoencoder
from reference_model.latents import LatentPairs, encode_pair, latent_length, pair_folder, write_latents


def shard_latents(
    data: str,
    mix_autoencoder: Autoencoder,
    bass_autoencoder: Autoencoder,
    *,
    accelerator: Accelerator,
    variants: int = 1,
    frames: int = 256,
    programs: bool = False,
) -> LatentPairs:
    """Latents of all clips of shards (see `bassbench.stems.shards.ShardedClips`), the same for any number of processes.

    `variants` passes, each with other random subsets of the stems in the mixes. A pass that was cut off goes on with
    the clips that it had not encoded; shards on disk are known by their content, and what a URL holds is taken to stay.
    Every process of the accelerator must call this; they share the user's cache. `programs` allows URLs that start one
    (see `bassbench.stems.shard_files.shard_urls`).

    Raises:
        BadInputError: a shard is missing or damaged, the cache cannot be written or is not shared by the processes, or
            no clip has `frames` latent frames.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    folder = pair_folder(mix_autoencoder, bass_autoencoder)
    urls = shard_urls(data, programs=programs)
    index = f"shards-{content_hash(*map(shard_hash, urls), str(variants))}"
    mine = folder / f"{index}.{rank}-of-{world}.json"
    if not mine.exists():
        names = list(_encoded(urls, programs, variants, mix_autoencoder, bass_autoencoder, folder, progress=rank == 0))
        write_text(mine, json.dumps(names))
    accelerator.wait_for_everyone()
    names = []
    for process in range(world):
        path = folder / f"{index}.{process}-of-{world}.json"
        if not path.exists():
            raise BadInputError(f"{path}: missing; set BASSBENCH_CACHE to a folder that all machines share")
        names += _names(path)
    paths = sorted(folder / f"{name}.npz" for name in set(names))
    return LatentPairs.long_enough(paths, [latent_length(path) for path in paths], frames)


def _names(path: Path) -> list[str]:
    try:
        names = parse_json(path.read_text())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("not a list of names")
        return names
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot read ({error}); remove it and give the same command again") from None


def _encoded(
    urls: list[str],
    programs: bool,
    variants: int,
    mix_autoencoder: Autoencoder,
    bass_autoencoder: Autoencoder,
    folder: Path,
    *,
    progress: bool,
) -> Iterator[str]:
    """Encode this process's clips that `folder` does not hold yet; the names of their files."""
    for epoch in range(variants):
        clips = ShardedClips(urls, epoch=epoch, programs=programs)
        for clip in tqdm(clips, f"encoding shards, pass {epoch}", disable=not progress):
            name = _name(clip)
            path = folder / f"{name}.npz"
            if latent_length(path) is None:
                write_latents(path, *encode_pair(mix_autoencoder, bass_autoencoder, clip.mix, clip.bass))
            yield name


def _name(clip: Clip) -> str:
    return content_hash(clip.name, clip.mix.tobytes(), clip.bass.tobytes())
