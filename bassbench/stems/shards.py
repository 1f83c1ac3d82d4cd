"""Datasets of stems as tar shards of FLAC and JSON (WebDataset), for sizes beyond one disk.

`python -m bassbench data shard PATH OUT` writes them; a run that was cut off goes on at the first shard it did not
finish. A sample is one window of a track: `KEY.json` and one FLAC a stem, `KEY.0.flac`, `KEY.1.flac` ..., whose roles
the JSON lists under "stems". `ShardedClips` reads pairs from them, from a folder or from URLs, and `ShardedStems` one
stem of those on disk:

    clips = ShardedClips("https://host/shards/{000000..000127}.tar", seed=1)
    loader = torch.utils.data.DataLoader(clips, batch_size=None, num_workers=4)

Needs the package webdataset: `pip install bassbench[webdataset]`.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from torch.utils.data import IterableDataset
from tqdm import tqdm

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.songs.arrangement import Note
from bassbench.songs.render import CLIP_SAMPLES, Clip
from bassbench.stems.files import read_mapping
from bassbench.stems.layouts import StemDataset
from bassbench.stems.shard_files import (
    MOST_SAMPLES,
    MOST_STEM_SAMPLES,
    MOST_STEMS,
    SETTINGS,
    decoded_stem,
    open_shard,
    sample_about,
    sample_files,
    shard_urls,
    webdataset,
)
from bassbench.stems.track import BASS
from bassbench.stems.windows import WindowRequest, clip_of, draw_subset, even_starts, sounds, window_generator

_FORMAT = 1
_FLAC_HEAD = 42  # bytes: the marker and the block STREAMINFO, whose last 16 are the MD5 of the decoded audio


def write_shards(
    dataset: StemDataset,
    folder: Path,
    *,
    samples: int = 2 * CLIP_SAMPLES,
    per_shard: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> list[Path]:
    """Write windows of `samples` that cover every track as shards `000000.tar` ..., each whole or not at all.

    Windows in which nothing sounds are left out; a track shorter than `samples` is one window of its own length. The
    default is twice the paper's training length, so that its crops can begin anywhere. Audio is 16-bit; a window
    whose stems peak above full scale is turned down, all its stems together. Shards that are there already are kept:
    the same call resumes.

    Raises:
        BadInputError: a file cannot be read, the folder cannot be written or holds shards of other data or settings.
    """
    wds = webdataset()
    windows = [
        WindowRequest(track, start, min(samples, track.samples - start))
        for track in dataset.tracks
        for start in even_starts(track.samples, samples)
    ]
    order = np.random.default_rng(seed).permutation(len(windows))
    groups = [order[first : first + per_shard] for first in range(0, len(order), per_shard)]
    settings = {
        "format": _FORMAT,
        "layout": dataset.layout,
        "samples": samples,
        "per_shard": per_shard,
        "seed": seed,
        "shards": len(groups),
        "windows": content_hash(*(f"{window.track.name} {window.start} {window.samples}" for window in windows)),
    }
    _keep_settings(folder / SETTINGS, settings)
    paths = [folder / f"{number:06d}.tar" for number in range(len(groups))]
    bar = tqdm(zip(paths, groups, strict=True), f"shards in {folder}", len(paths), disable=not progress, leave=False)
    for path, group in bar:
        if path.exists():
            continue
        try:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                writer = wds.TarWriter(file, mtime=0.0)
                for index in group:
                    if sample := _packed(windows[index], f"{index:08d}"):
                        writer.write(sample)
                writer.close()
        except OSError as error:
            raise BadInputError(f"{path}: cannot write ({error.strerror}); free the disk and run again") from None
    return paths


class ShardedClips(IterableDataset):
    """Clips of shards, in an order drawn from (seed, epoch); every process and data loader worker gets its own part.

    `shards` is a folder, a URL or a list of URLs and paths; `{000000..000127}` stands for a range. Whole shards are
    dealt out, round robin, to the processes (RANK and WORLD_SIZE, or torch.distributed) and then to the workers: each
    sample is seen exactly once an epoch. With `subset` the mix is a random subset of the other stems, drawn from
    (seed, epoch, clip). `programs` allows URLs that start one (see `shard_urls`). A worker passes over its first `skip`
    samples without decoding them: to resume, give the number it had seen. Samples without a bass or without a mix are
    passed over.

    Raises:
        BadInputError: as `shard_urls`; on reading: a shard is missing, damaged or holds more than any that was written.
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        *,
        seed: int = 0,
        epoch: int = 0,
        skip: int = 0,
        subset: bool = True,
        programs: bool = False,
    ) -> None:
        self.urls = shard_urls(shards, programs=programs)
        self.seed, self.epoch, self.skip, self.subset = seed, epoch, skip, subset

    def __iter__(self) -> Iterator[Clip]:
        wds = webdataset()
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.urls))
        pipeline = wds.DataPipeline(
            wds.SimpleShardList([self.urls[i] for i in order]),
            wds.split_by_node,
            wds.split_by_worker,
            _samples,
        )
        samples = islice(iter(pipeline), self.skip, None)
        while (sample := _next(samples)) is not None:
            about, stems, notes = _unpacked(*sample)
            if "bass" not in stems or len(stems) < 2:
                continue
            generator = None
            if self.subset:
                generator = window_generator(f"{self.epoch} {about['name']}", self.seed)
            yield clip_of(about["name"], about["song"], stems, notes, generator)


def shard_hash(shard: str) -> str:
    """Content hash of a shard on disk: of its samples' JSON, and of the MD5 of the audio that every FLAC begins with.

    A URL, whose content is not at hand, is its own hash. Little is read, however large the shard.

    Raises:
        BadInputError: the file is damaged.
    """
    if not Path(shard).is_file():
        return shard
    parts: list[str | bytes] = []
    try:
        with tarfile.open(shard, "r:") as archive:
            for _, kind, member in sample_files(archive, shard):
                file = archive.extractfile(member)
                assert file is not None  # it is a regular file
                parts += [member.name, str(member.size), file.read(_FLAC_HEAD if kind != "json" else member.size)]
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BadInputError(f"{shard}: cannot read ({error}); write the shards again") from None
    return content_hash(*parts)


def _packed(window: WindowRequest, key: str) -> dict[str, Any] | None:
    """A window as the files of a sample, or None if nothing sounds in it."""
    stems = {role: audio for role, audio in window.stems().items() if sounds(audio).any()}
    if not stems:
        return None
    total = sum(audio.shape[1] for audio in stems.values())
    if len(stems) > MOST_STEMS or total > MOST_SAMPLES or window.samples > MOST_STEM_SAMPLES:
        seconds = window.samples / SAMPLE_RATE
        raise BadInputError(
            f"{window.name}: {len(stems)} stems of {seconds:.0f} s are too large a sample; lower --seconds"
        )
    gain = min(1.0, 1.0 / max(float(np.abs(audio).max()) for audio in stems.values()))
    notes = {role: [list(asdict(note).values()) for note in notes] for role, notes in window.notes().items()}
    about = {
        "name": window.name,
        "song": window.track.name,
        "split": window.track.split,
        "start": window.start,
        "stems": list(stems),
        "notes": notes,
    }
    files = {f"{i}.flac": _flac(audio * np.float32(gain)) for i, audio in enumerate(stems.values())}
    return {"__key__": key, "json": json.dumps(about).encode(), **files}


def _samples(shards: Iterable[dict[str, str]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each sample of shards, one after the other: where it stands for errors, and the bytes of its files by kind."""
    for shard in (source["url"] for source in shards):
        # Not compressed: a few bytes could stand for any number.
        with open_shard(shard) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            sample, files = "", dict[str, bytes]()
            for key, kind, member in sample_files(tar, shard):
                if key != sample and files:
                    yield f"{shard}, sample {sample}", files
                    files = {}
                sample, file = key, tar.extractfile(member)
                assert file is not None  # it is a regular file
                files[kind] = file.read()
            if files:
                yield f"{shard}, sample {sample}", files


def _unpacked(
    where: str, files: Mapping[str, bytes]
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, list[Note]]]:
    try:
        about = sample_about(files["json"])
        stems: dict[str, np.ndarray] = {}
        left = MOST_SAMPLES
        for i, role in enumerate(about["stems"]):
            stems[role] = decoded_stem(files[f"{i}.flac"], where, left)
            left -= stems[role].shape[1]
        if len({stem.shape for stem in stems.values()}) > 1:
            raise ValueError("stems of different lengths")
        if not isinstance(about["notes"], dict):
            raise ValueError("notes must be a mapping")
        notes = {role: [_note(*values) for values in its] for role, its in about["notes"].items()}
        return {name: str(about[name]) for name in ("name", "song")}, stems, notes
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f"{where}: not a sample of this format ({error}); write the shards again") from None


def _note(start: float, end: float, pitch: int, velocity: int) -> Note:
    return Note(float(start), float(end), int(pitch), int(velocity))


def _flac(audio: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.round(audio.T * 32767).astype(np.int16), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _next(samples: Iterator[tuple[str, dict[str, bytes]]]) -> tuple[str, dict[str, bytes]] | None:
    try:
        return next(samples, None)
    except BadInputError:
        raise
    except (OSError, ValueError, tarfile.TarError, EOFError) as error:
        raise BadInputError(f"cannot read a shard ({error}); is it there and whole?") from None


def _keep_settings(path: Path, settings: dict[str, Any]) -> None:
    known = read_mapping(path) if path.is_file() else None
    if known is not None and known != settings:
        changed = ", ".join(name for name in settings if known.get(name) != settings[name])
        raise BadInputError(f"{path.parent}: holds shards of other data or settings ({changed}); choose another folder")
    if known is None:
        try:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(settings, indent=1) + "\n")
        except OSError as error:
            raise BadInputError(f"{path}: cannot write ({error.strerror})") from None


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
