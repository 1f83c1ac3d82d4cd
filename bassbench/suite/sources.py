"""Where the basses under test come from: an anchor, a folder, a system that plays, or what a system played before.

A source gives the bass of the clip at an index, and a hash of all that this bass depends on without making it.
"""

import dataclasses
import functools
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE, fit_length, read_audio, resample, write_float
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import atomic_path, file_stem
from bassbench.metrics.metric import Scored
from bassbench.plugins import warn_once
from bassbench.songs.render import Clip
from bassbench.stems.files import AUDIO_SUFFIXES, audio_files
from bassbench.suite.anchors import OTHER, Anchor
from bassbench.suite.anchors import VERSION as ANCHOR_VERSION
from bassbench.suite.clip_set import ClipEntry
from bassbench.suite.systems import Accompanist

STYLES = ("none", "own", "other")
_SUFFIXES = (".wav", ".flac")  # flac: as earlier versions kept it, in 24 bits
_TOLERANCE = 0.25  # seconds by which an output may miss the mix's length: a codec's frame, an mp3's padding


@dataclasses.dataclass(frozen=True)
class ClipPlan:
    """The clips to be scored, the clip that each is paired with for anchors and probes, the style asked for, the seed.

    `style` is "none", "own" (the clip's real bass) or "other" (the partner's).
    """

    entries: tuple[ClipEntry, ...]
    partners: tuple[int, ...]
    style: str
    seed: int

    def style_of(self, index: int, clip: Clip) -> np.ndarray | None:
        """The style clip `(2, samples)`, or None."""
        if self.style == "none":
            return None
        return clip.bass if self.style == "own" else self.entries[self.partners[index]].load().bass

    def clip_seed(self, index: int) -> int:
        """A clip's own seed, whatever its place among others."""
        return int(content_hash(str(self.seed), self.entries[index].name)[:7], 16)


class Source(Protocol):
    """Basses to be scored, by index of `clips.entries`."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def setting(self) -> dict[str, Any]:
        """What tells sources of one name apart."""
        ...

    @property
    def clips(self) -> ClipPlan:
        """The clips."""
        ...

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Make what has to be made before `give`; the seconds that each took."""
        ...

    def key(self, index: int) -> str:
        """Hash of all that the bass depends on; after `prepare`."""
        ...

    def give(self, index: int) -> Scored:
        """The clip with the bass; after `prepare`."""
        ...


@dataclasses.dataclass(frozen=True)
class AnchorSource:
    """An anchor of `bassbench.suite.anchors`, made anew each time it is asked for; `about` tells codecs apart."""

    name: str
    anchor: Anchor
    clips: ClipPlan
    about: str = ""

    @property
    def setting(self) -> dict[str, Any]:
        """What tells anchors of one name apart."""
        return {"codec": self.about} if self.about else {}

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Nothing to prepare."""
        return {}

    def key(self, index: int) -> str:
        """Hash of the anchor, the clip, the seed, and the other song's clip where that is heard."""
        clip, partner = (self.clips.entries[i].key for i in (index, self.clips.partners[index]))
        other = partner if self.name == OTHER or self.clips.style == "other" else ""
        parts = (str(ANCHOR_VERSION), self.name, self.about, clip, other, str(self.clips.clip_seed(index)))
        return content_hash("anchor", *parts)

    def give(self, index: int) -> Scored:
        """The clip with the anchor's bass."""
        clip = self.clips.entries[index].load()
        partner = self.clips.entries[self.clips.partners[index]].load()
        bass = self.anchor(clip, partner, self.clips.clip_seed(index))
        return Scored(clip, bass, self.clips.style_of(index, clip))


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Audio files named by clip or, where each song has one clip, by song."""

    name: str
    folder: Path
    clips: ClipPlan

    def __post_init__(self) -> None:
        self.files  # noqa: B018 - found at once, so that nothing is measured if one is missing

    @functools.cached_property
    def files(self) -> tuple[Path, ...]:
        """The file of each clip.

        Raises:
            BadInputError: no such folder, no file for a clip, or two.
        """
        if not self.folder.is_dir():
            raise BadInputError(f"{self.folder}: no such folder; give a folder of audio files named by clip")
        files: dict[str, Path] = {}
        for path in audio_files(self.folder):
            if path.stem in files:
                raise BadInputError(f"{path}: there is {files[path.stem].name} too; keep one file a clip")
            files[path.stem] = path
        songs = [entry.song for entry in self.clips.entries]
        found: list[Path] = []
        missing: list[str] = []
        for entry in self.clips.entries:
            names = [file_stem(entry.name)] + [file_stem(entry.song)] * (songs.count(entry.song) == 1)
            path_of = next((files[name] for name in names if name in files), None)
            if path_of is None:
                missing.append(names[-1])
            else:
                found.append(path_of)
        if missing:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise BadInputError(
                f"{self.folder}: no audio file for {len(missing)} of {len(songs)} clips ({shown}); add them "
                f"({', '.join(AUDIO_SUFFIXES)}) or lower --clips"
            )
        extra = sorted(set(files.values()) - set(found))
        if extra:
            warn_once(f"{self.folder}: {len(extra)} files are of no clip that is scored, e.g. {extra[0].name}")
        return tuple(found)

    @property
    def setting(self) -> dict[str, Any]:
        """Files are told apart by their content alone."""
        return {}

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Nothing to prepare."""
        return {}

    def key(self, index: int) -> str:
        """Hash of the clip and of the file's bytes."""
        try:
            content = self.files[index].read_bytes()
        except OSError as error:
            raise BadInputError(f"{self.files[index]}: cannot read ({error.strerror})") from None
        return content_hash(self.clips.entries[index].key, content)

    def give(self, index: int) -> Scored:
        """The clip with the file's audio at 44.1 kHz; a length that differs by up to 0.25 s is made to fit."""
        clip = self.clips.entries[index].load()
        bass = read_audio(self.files[index])
        _check_length(bass.shape[1], clip.mix.shape[1], SAMPLE_RATE, str(self.files[index]))
        return Scored(clip, fit_length(bass, clip.mix.shape[1]), self.clips.style_of(index, clip))


@dataclasses.dataclass(frozen=True)
class KeptSource:
    """What a system played, as a run folder keeps it."""

    name: str
    setting: dict[str, Any]
    clips: ClipPlan
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
        return content_hash(self.clips.entries[index].key, _hash_of_samples(path, state.st_mtime_ns, state.st_size))

    def give(self, index: int) -> Scored:
        """The clip with what was kept; NaN and Inf are kept as they came."""
        clip = self.clips.entries[index].load()
        bass = fit_length(_read(self._kept(index) or self._path(index, _SUFFIXES[0])), clip.mix.shape[1])
        return Scored(clip, bass, self.clips.style_of(index, clip))

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / "audio" / (file_stem(self.clips.entries[index].name) + suffix)

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
        kept = {index: path for index in range(len(self.clips.entries)) if (path := self._kept(index))}
        stale = {index: path for index, path in kept.items() if fresh or _state(path) not in (self.state, "")}
        for path in stale.values():
            try:
                path.unlink()
            except OSError as error:
                raise BadInputError(f"{path}: cannot be played anew ({error.strerror})") from None
        of = f"of {len(self.clips.entries)} clips"
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
            clips = [self.clips.entries[index].load() for index in batch]
            began = time.perf_counter()
            styles = [self.clips.style_of(index, clip) for index, clip in zip(batch, clips, strict=True)]
            seeds = [self.clips.clip_seed(index) for index in batch]
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
        _check_length(basses.shape[2], mix.shape[2], self.system.sample_rate, where)
        return fit_length(basses.astype(np.float32, copy=False), mix.shape[2])


def _check_length(samples: int, expected: int, sample_rate: int, where: str) -> None:
    """Raise BadInputError if a bass is much longer or shorter than its mix."""
    if abs(samples - expected) > _TOLERANCE * sample_rate:
        raise BadInputError(
            f"{where}: {samples / sample_rate:.2f} s of bass for a mix of {expected / sample_rate:.2f} s; "
            f"lengths may differ by {_TOLERANCE:g} s"
        )


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
