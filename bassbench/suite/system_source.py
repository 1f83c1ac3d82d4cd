"""What a system plays for the clips, kept in the run folder: what is kept is what is scored."""

import dataclasses
import functools
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE, fit_length, resample, write_float
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import atomic_path, file_stem
from bassbench.metrics.metric import Scored
from bassbench.suite.accompanist import Accompanist
from bassbench.suite.sources import Pieces, check_length

_SUFFIXES = (".wav", ".flac")  # flac: as earlier versions kept it, in 24 bits


@dataclasses.dataclass(frozen=True)
class KeptSource:
    """What a system played, as a run folder keeps it."""

    name: str
    setting: dict[str, Any]
    pieces: Pieces
    folder: Path

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Nothing to prepare."""
        return {}

    def key(self, index: int) -> str:
        """Hash of the clip and of the kept samples."""
        path = self._kept(index) or self._path(index, _SUFFIXES[0])
        try:
            state = path.stat()
        except OSError as error:
            raise BadInputError(f"{path}: cannot read ({error.strerror})") from None
        return content_hash(self.pieces.entries[index].key, _hash_of_samples(path, state.st_mtime_ns, state.st_size))

    def give(self, index: int) -> Scored:
        """The clip with what was kept; NaN and Inf are kept as they came."""
        clip = self.pieces.entries[index].load()
        bass = fit_length(_read(self._kept(index) or self._path(index, _SUFFIXES[0])), clip.mix.shape[1])
        return Scored(clip, bass, self.pieces.style_of(index, clip))

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / "audio" / (file_stem(self.pieces.entries[index].name) + suffix)

    def _kept(self, index: int) -> Path | None:
        return next((path for suffix in _SUFFIXES if (path := self._path(index, suffix)).is_file()), None)


@dataclasses.dataclass(frozen=True)
class SystemSource(KeptSource):
    """A system that plays; what it played is kept under `folder` as it came, and what is kept is what is scored.

    `state` is what can be known of the system (`bassbench.suite.systems.state_of`); it is written into the kept files.
    """

    system: Accompanist
    batch_size: int
    state: str = ""

    def begin(self, *, fresh: bool = False) -> None:
        """Say what an earlier run kept, and forget what another state of the system played, or with `fresh` all.

        Raises:
            BadInputError: a kept file cannot be read or deleted.
        """
        kept = {index: path for index in range(len(self.pieces.entries)) if (path := self._kept(index))}
        stale = {index: path for index, path in kept.items() if fresh or _state(path) not in (self.state, "")}
        for path in stale.values():
            try:
                path.unlink()
            except OSError as error:
                raise BadInputError(f"{path}: cannot be played anew ({error.strerror})") from None
        of = f"of {len(self.pieces.entries)} clips"
        if stale and not fresh:
            print(f"{len(stale)} {of} are played anew: '{self.name}' has changed since", file=sys.stderr)
        if rest := len(kept) - len(stale):
            print(f"{rest} {of} from an earlier run of '{self.name}'; --fresh plays anew", file=sys.stderr)

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Play for the clips of which nothing is kept yet; a batch is played whole or not at all."""
        seconds: dict[int, float] = {}
        for start in range(0, len(indexes), self.batch_size):
            batch = indexes[start : start + self.batch_size]
            if all(self._kept(index) for index in batch):
                continue
            clips = [self.pieces.entries[index].load() for index in batch]
            began = time.perf_counter()
            styles = [self.pieces.style_of(index, clip) for index, clip in zip(batch, clips, strict=True)]
            seeds = [self.pieces.clip_seed(index) for index in batch]
            basses = self.play([clip.mix for clip in clips], styles, seeds, names=[clip.name for clip in clips])
            took = (time.perf_counter() - began) / len(batch)
            for index, bass in zip(batch, basses, strict=True):
                if not self._kept(index):
                    write_float(self._path(index, _SUFFIXES[0]), bass, comment=self.state)
                    seconds[index] = took
        return seconds

    def play(
        self,
        mixes: Sequence[np.ndarray],
        styles: Sequence[np.ndarray | None],
        seeds: Sequence[int],
        *,
        names: Sequence[str],
    ) -> list[np.ndarray]:
        """What the system plays for mixes `(2, samples)` at 44.1 kHz, as long as they; equal lengths in one call.

        Raises:
            BadInputError: the system failed or gave what is not a bass; its traceback goes to `error.log`.
        """
        played: dict[int, np.ndarray] = {}
        lengths = [
            (mix.shape[1], 0 if style is None else style.shape[1]) for mix, style in zip(mixes, styles, strict=True)
        ]
        for length in dict.fromkeys(lengths):
            these = [i for i, its in enumerate(lengths) if its == length]
            mix = np.stack([self._to_system(mixes[i]) for i in these])
            wanted = [style for i in these if (style := styles[i]) is not None]
            style = np.stack([self._to_system(style) for style in wanted]) if wanted else None
            basses = self._accompany(mix, style, [seeds[i] for i in these], [names[i] for i in these])
            for i, bass in zip(these, basses, strict=True):
                played[i] = fit_length(resample(bass, self.system.sample_rate, SAMPLE_RATE), length[0])
        return [played[i] for i in range(len(mixes))]

    def _to_system(self, audio: np.ndarray) -> np.ndarray:
        return resample(audio, SAMPLE_RATE, self.system.sample_rate)

    def _accompany(
        self, mix: np.ndarray, style: np.ndarray | None, seeds: Sequence[int], names: Sequence[str]
    ) -> np.ndarray:
        where = f"system '{self.name}' on {'clip' if len(names) == 1 else 'clips'} {', '.join(names)}"
        try:
            basses = np.asarray(self.system.accompany(mix, style=style, seeds=seeds))
        except BadInputError as error:
            raise BadInputError(f"{where}: {error}") from None
        except (Exception, SystemExit) as error:
            log = self.folder / "error.log"
            with atomic_path(log) as temporary:
                temporary.write_text(traceback.format_exc(), encoding="utf-8")
            raise BadInputError(
                f"{where} failed ({type(error).__name__}: {error}); the traceback is in {log}"
            ) from None
        if basses.ndim != 3 or basses.shape[:2] != (len(mix), 2) or not np.issubdtype(basses.dtype, np.floating):
            raise BadInputError(
                f"{where} gave {basses.dtype} of shape {basses.shape}, expected float of shape {mix.shape}"
            )
        check_length(basses.shape[2], mix.shape[2], self.system.sample_rate, where)
        return fit_length(basses.astype(np.float32, copy=False), mix.shape[2])


def _read(path: Path) -> np.ndarray:
    try:
        return np.ascontiguousarray(soundfile.read(path, dtype="float32", always_2d=True)[0].T)
    except soundfile.LibsndfileError as error:
        raise BadInputError(f"{path}: missing or damaged ({error}); delete it and run again") from None


def _state(path: Path) -> str:
    try:
        with soundfile.SoundFile(path) as file:
            return str(file.comment)
    except soundfile.LibsndfileError as error:
        raise BadInputError(f"{path}: damaged ({error}); delete it and run again") from None


@functools.lru_cache(maxsize=4096)
def _hash_of_samples(path: Path, changed: int, size: int) -> str:
    # Of the samples, not of the bytes: a wav of floats holds the time it was written at.
    return content_hash(_read(path).tobytes())
