"""Pairs of mix and bass latents: every clip is encoded once, kept in the user's cache, and cropped in training.

Beside the latents lies what is known of the notes and chords (`conditions.known`), for training that asks for them. Of
clips that were encoded before there was that, those are encoded again when it is wanted.
"""

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from bassbench.cache import cache_folder, cache_path, content_hash
from bassbench.errors import BadInputError
from bassbench.files import parse_json, write_text
from bassbench.songs.clips import ClipSource, cached_clip
from bassbench.songs.render import Clip
from bassbench.stems.shard_files import shard_urls
from bassbench.stems.shards import ShardedClips, shard_hash
from bassbench.stems.training_data import training_requests
from bassbench.workers import in_processes
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.conditions import known, training_planes

if TYPE_CHECKING:
    from accelerate import Accelerator  # slow to import, and generating needs none

_TRUTH = ("notes", "chords", "bars")
_TRUTH_VERSION = 1  # raise it when `conditions.known` gives something else for the same clip
Encoded = tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]
"""Latents `(dims, frames)` of a mix and of its bass, and what is known of the notes, if that is to be kept."""


@dataclass(frozen=True)
class LatentPairs:
    """Encoded clips on disk, all at least `frames` long: what the diffusion trainer draws from."""

    paths: tuple[Path, ...]
    frames: int
    notes: bool = False
    """Whether planes of what is asked for (`conditions.training_planes`) follow the mix's dims in every example."""

    @classmethod
    def long_enough(
        cls, paths: Sequence[Path], lengths: Sequence[int | None], frames: int, *, notes: bool = False
    ) -> "LatentPairs":
        """The clips of at least `frames` latent frames, given the length of each (None: it is missing).

        Raises:
            BadInputError: there is none, or notes are wanted and of no clip notes or chords are known.
        """
        found = tuple(path for path, length in zip(paths, lengths, strict=True) if length and length >= frames)
        if not found:
            raise BadInputError(
                f"none of {len(paths)} clips has {frames} latent frames; use longer clips or fewer frames"
            )
        if notes and not any(len(_truth(path)[name]) for path in found for name in ("notes", "chords")):
            raise BadInputError(
                f"of none of {len(found)} clips notes or chords are known, so none can be asked for: train without "
                "--notes, or on the song bank or stems that were played from MIDI"
            )
        return cls(found, frames, notes)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Mix `(mix_dims, clip frames)` and bass `(bass_dims, clip frames)`, float16."""
        return _read(self.paths[index])

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        """A random crop of a random clip: its name, mix `(mix_dims, frames)` and bass `(bass_dims, frames)`.

        With `notes` the mix has `conditions.PLANES` more dims; crops are the same without.

        The paper draws the mix's subset of the stems anew each time; of a clip that is kept with several subsets one is
        drawn here.
        """
        path = self.paths[int(generator.integers(len(self)))]
        mix, bass = _read(path)
        start = int(generator.integers(bass.shape[1] - self.frames + 1))
        crop = slice(start, start + self.frames)
        mix, bass = mix[:, crop], bass[:, crop]
        if self.notes:
            own = generator.spawn(1)[0]  # so that what else the generator draws is the same without notes
            mix = np.concatenate([mix, training_planes(_truth(path), start, self.frames, own)])
        return f"{path.stem}@{start}", mix, bass


def latent_pairs(
    keys: Sequence[str],
    encoded: Callable[[Sequence[int]], Iterable[Encoded]],
    folder: Path,
    *,
    frames: int = 256,
    notes: bool = False,
    progress: str = "",
) -> LatentPairs:
    """Encode the clips that `folder` does not hold yet, and give the pairs of all that are long enough.

    `encoded(indices)` yields the latents `(mix_dims, frames)` and `(bass_dims, frames)` of those clips, in order; it
    is asked for the missing ones only. A damaged file counts as missing, and with `notes` one that does not say what is
    known of the notes.

    Raises:
        BadInputError: no clip has `frames` latent frames, or as `LatentPairs.long_enough`.
    """
    paths = [folder / f"{key}.npz" for key in keys]
    bar = tqdm(paths, f"{progress}: checking", disable=not progress, leave=False)
    lengths = [latent_length(path, notes=notes) for path in bar]
    missing = [index for index, length in enumerate(lengths) if length is None]
    encoding = tqdm(encoded(missing), f"{progress}: encoding", len(missing), disable=not (progress and missing))
    for index, clip in zip(missing, encoding, strict=True):
        write_latents(paths[index], *clip)
        lengths[index] = clip[1].shape[1]
    return LatentPairs.long_enough(paths, lengths, frames, notes=notes)


def write_latents(path: Path, mix: np.ndarray, bass: np.ndarray, truth: Mapping[str, np.ndarray] | None = None) -> None:
    """Keep latents `(dims, frames)` of a clip as float16, and what is known of its notes, whole or not at all."""
    about = {} if truth is None else {**truth, "truth_version": np.array(_TRUTH_VERSION)}
    with cache_path(path) as temporary:
        np.savez(temporary, mix=mix.astype(np.float16), bass=bass.astype(np.float16), **about)
    _read.cache_clear()
    _truth.cache_clear()


@functools.lru_cache(maxsize=8192)
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(io.BytesIO(path.read_bytes())) as file:  # the zip format's checksums are verified here
        return file["mix"], file["bass"]


@functools.lru_cache(maxsize=8192)
def _truth(path: Path) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(path.read_bytes())) as file:
        if file["truth_version"] != _TRUTH_VERSION:
            raise KeyError(f"{path}: of another version")
        return {name: file[name] for name in _TRUTH}


def latent_length(path: Path, *, notes: bool = False) -> int | None:
    """Frames of a clip's latents on disk; None if they are missing or damaged, with `notes` also if the truth is."""
    try:
        if notes:
            _truth(path)
        return _read(path)[1].shape[1]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


# Songs of the bank through a pair of autoencoders


@torch.no_grad()
def encode_pair(
    mix_autoencoder: Autoencoder, bass_autoencoder: Autoencoder, mix: np.ndarray, bass: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised latents `(dims, frames)` of one mix and one bass `(2, samples)`."""
    both = zip((mix_autoencoder, bass_autoencoder), (mix, bass), strict=True)
    mix_latent, bass_latent = (
        codec.encode(coder, torch.from_numpy(audio)[None])[0].cpu().numpy() for coder, audio in both
    )
    return mix_latent, bass_latent


def encoder_hash(autoencoder: Autoencoder) -> str:
    """Content hash of all that `encode` depends on; training the decoder further does not change it.

    Of the weights as float16, so that a model and the same model read back from its file agree.
    """
    digest = hashlib.sha256()
    config = autoencoder.config.to_dict()
    kept = {name: value for name, value in config.items() if name not in ("decoder", "integrate_phase")}
    digest.update(json.dumps(kept, sort_keys=True).encode())
    for name, tensor in sorted(autoencoder.state_dict().items()):
        if not name.startswith(("decoder.", "linear.readout")):
            digest.update(name.encode() + tensor.half().cpu().numpy().tobytes())
    return digest.hexdigest()[:24]


def pair_folder(mix_autoencoder: Autoencoder, bass_autoencoder: Autoencoder) -> Path:
    """The folder in the user's cache for all latents of a pair of autoencoders."""
    return cache_folder("latents", content_hash(encoder_hash(mix_autoencoder), encoder_hash(bass_autoencoder)))


def song_latents(
    data: str,
    mix_autoencoder: Autoencoder,
    bass_autoencoder: Autoencoder,
    *,
    songs: int | None = None,
    variants: int = 1,
    subsets: int = 1,
    families: Sequence[str] = (),
    frames: int = 256,
    notes: bool = False,
    processes: int = 1,
    progress: bool = True,
) -> LatentPairs:
    """Latents of training clips: see `bassbench.stems.training_data.training_requests`; `notes` as in `LatentPairs`.

    Raises:
        BadInputError: data that cannot be used, more songs asked for than it has, all too short, or notes wanted and
            none known.
    """
    requests = training_requests(data, count=songs, variants=variants, subsets=subsets, families=families)

    def encoded(indices: Sequence[int]) -> Iterable[Encoded]:
        work = functools.partial(_render_and_encode, mix_autoencoder, bass_autoencoder)
        chosen = [requests[index] for index in indices]
        # Latents come back, not audio: what waits to be written stays small however far the workers are ahead.
        yield from in_processes(work, chosen, processes, chunk=4)

    return latent_pairs(
        [request.key for request in requests],
        encoded,
        pair_folder(mix_autoencoder, bass_autoencoder),
        frames=frames,
        notes=notes,
        progress=f"{Path(data).name} latents" if progress else "",
    )


def _render_and_encode(mix_autoencoder: Autoencoder, bass_autoencoder: Autoencoder, request: ClipSource) -> Encoded:
    kept = (cache_folder("clips") / f"{request.key}.json").exists()
    clip = cached_clip(request) if kept else request.render()
    return (*encode_pair(mix_autoencoder, bass_autoencoder, clip.mix, clip.bass), known(clip))


# Clips in shards, for data beyond one disk: every process encodes its own shards, once. Latents take a three-hundredth
# of the audio's space, so those of all shards lie in one cache that every process reads.


def shard_latents(
    data: str,
    mix_autoencoder: Autoencoder,
    bass_autoencoder: Autoencoder,
    *,
    accelerator: "Accelerator",
    variants: int = 1,
    frames: int = 256,
    notes: bool = False,
    programs: bool = False,
) -> LatentPairs:
    """Latents of all clips of shards (see `bassbench.stems.shards.ShardedClips`), the same for any number of processes.

    `variants` passes, each with other random subsets of the stems in the mixes. A pass that was cut off goes on with
    the clips that it had not encoded; shards on disk are known by their content, and what a URL holds is taken to stay.
    Every process of the accelerator must call this; they share the user's cache. `programs` allows URLs that start one
    (see `bassbench.stems.shard_files.shard_urls`).

    Raises:
        BadInputError: a shard is missing or damaged, the cache cannot be written or is not shared by the processes, or
            no clip has `frames` latent frames, or as `LatentPairs.long_enough`.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    folder = pair_folder(mix_autoencoder, bass_autoencoder)
    urls = shard_urls(data, programs=programs)
    versions = [str(variants), *([f"truth {_TRUTH_VERSION}"] if notes else [])]  # passes that were made without it
    index = f"shards-{content_hash(*map(shard_hash, urls), *versions)}"
    mine = folder / f"{index}.{rank}-of-{world}.json"
    if not mine.exists():
        coders = mix_autoencoder, bass_autoencoder
        names = list(_encoded_shards(urls, programs, variants, coders, folder, notes=notes, progress=rank == 0))
        write_text(mine, json.dumps(names))
    accelerator.wait_for_everyone()
    names = []
    for process in range(world):
        path = folder / f"{index}.{process}-of-{world}.json"
        if not path.exists():
            raise BadInputError(f"{path}: missing; set BASSBENCH_CACHE to a folder that all machines share")
        names += _shard_names(path)
    paths = sorted(folder / f"{name}.npz" for name in set(names))
    lengths = [latent_length(path, notes=notes) for path in paths]
    return LatentPairs.long_enough(paths, lengths, frames, notes=notes)


def _shard_names(path: Path) -> list[str]:
    try:
        names = parse_json(path.read_text())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("not a list of names")
        return names
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot read ({error}); remove it and give the same command again") from None


def _encoded_shards(
    urls: list[str],
    programs: bool,
    variants: int,
    coders: tuple[Autoencoder, Autoencoder],
    folder: Path,
    *,
    notes: bool,
    progress: bool,
) -> Iterator[str]:
    """Encode this process's clips that `folder` does not hold yet; the names of their files."""
    for epoch in range(variants):
        clips = ShardedClips(urls, epoch=epoch, programs=programs)
        for clip in tqdm(clips, f"encoding shards, pass {epoch}", disable=not progress):
            name = _shard_clip_name(clip)
            path = folder / f"{name}.npz"
            truth = known(clip)
            if latent_length(path, notes=notes) is None or (notes and not _same(_truth(path), truth)):
                write_latents(path, *encode_pair(*coders, clip.mix, clip.bass), truth)
            yield name


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in _TRUTH)


def _shard_clip_name(clip: Clip) -> str:
    return content_hash(clip.name, clip.mix.tobytes(), clip.bass.tobytes())
