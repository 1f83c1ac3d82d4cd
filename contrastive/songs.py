"""Songs as features: computed once from their renderings, kept in the user's cache, held in memory for training."""

import functools
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bassbench.cache import cache_folder, cache_path, content_hash
from bassbench.errors import BadInputError
from bassbench.files import parse_json
from bassbench.songs.clips import ClipSource, cached_clip
from bassbench.stems.training_data import training_requests
from bassbench.workers import in_processes
from contrastive.config import MIN_SECONDS, FeatureConfig
from contrastive.features import VERSION, features

_UNKNOWN_TEMPO = 120.0
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class SongFeatures:
    """One rendered pair: features uint8 `(bins, frames)`, and what is known of its key, tempo and bars.

    `tonic` is the pitch class of the key, -1 if unknown; `tempo` in beats per minute, 120 if unknown;
    `downbeats` in seconds.
    """

    name: str
    mix: np.ndarray
    bass: np.ndarray
    tonic: int
    tempo: float
    downbeats: np.ndarray

    @property
    def frames(self) -> int:
        """Frames of both."""
        return self.mix.shape[1]


def song_features(
    data: str,
    config: FeatureConfig,
    *,
    songs: int | None = None,
    variants: int = 1,
    processes: int = 1,
    progress: bool = True,
) -> list[SongFeatures]:
    """Features of training clips: see `bassbench.stems.training_data.training_requests`.

    Raises:
        BadInputError: data that cannot be used, or more songs asked for than it has.
    """
    requests = training_requests(data, count=songs, variants=variants)
    title = f"{Path(data).name} features" if progress else ""
    return features_of(requests, config, processes=processes, progress=title)


def features_of(
    requests: Sequence[ClipSource], config: FeatureConfig, *, processes: int = 1, progress: str = ""
) -> list[SongFeatures]:
    """Features of each request in order; those that the cache does not hold are computed, in worker processes."""
    folder = cache_folder("matcher_features", content_hash(VERSION, json.dumps(asdict(config), sort_keys=True)))
    paths = [folder / f"{request.key}.npz" for request in requests]
    known: dict[Path, SongFeatures | None] = {path: _read(path) for path in dict.fromkeys(paths)}
    missing = {path: request for path, request in zip(paths, requests, strict=True) if known[path] is None}
    work = functools.partial(_from_request, config)
    bar = tqdm(total=len(missing), desc=progress, disable=not (progress and missing), leave=False)
    with bar:
        computed = in_processes(work, missing.values(), processes)
        for path, computed_song in zip(missing, computed, strict=True):
            _write(path, computed_song)
            known[path] = computed_song
            bar.update()
    return [song for path in paths if (song := known[path]) is not None]


def tonic_of(key: str) -> int:
    """Pitch class of the tonic of a key such as "Eb major"; -1 if the key is unknown."""
    match = re.match(r"([A-G])([#b]*)", key)
    if match is None:
        return -1
    return (_LETTERS[match[1]] + match[2].count("#") - match[2].count("b")) % 12


def _from_request(config: FeatureConfig, request: ClipSource) -> SongFeatures:
    kept = (cache_folder("clips") / f"{request.key}.json").exists()
    clip = cached_clip(request) if kept else request.render()
    if clip.seconds < MIN_SECONDS:
        raise BadInputError(f"{clip.name}: {clip.seconds:.1f} s long; the matcher needs {MIN_SECONDS:g} s")
    return SongFeatures(
        name=clip.song,
        mix=features(clip.mix, config),
        bass=features(clip.bass, config),
        tonic=tonic_of(clip.key),
        tempo=clip.tempo or _UNKNOWN_TEMPO,
        downbeats=np.array(clip.downbeats),
    )


def _write(path: Path, song: SongFeatures) -> None:
    about = json.dumps([song.name, song.tonic, song.tempo])
    with cache_path(path) as temporary:
        np.savez(temporary, mix=song.mix, bass=song.bass, downbeats=song.downbeats, about=np.array(about))


def _read(path: Path) -> SongFeatures | None:
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:  # the zip format's checksums are verified here
            name, tonic, tempo = parse_json(str(file["about"]))
            return SongFeatures(name, file["mix"], file["bass"], tonic, tempo, file["downbeats"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
