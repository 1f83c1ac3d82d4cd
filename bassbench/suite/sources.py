"""Where the basses under test come from: a folder or an anchor here, a system in `bassbench.suite.system_source`.

A source gives the bass of the clip at an index, and a hash of all that this bass depends on without making it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bassbench.audio import SAMPLE_RATE, fit_length, read_audio
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import file_stem
from bassbench.metrics.metric import Scored
from bassbench.plugins import warn_once
from bassbench.songs.render import Clip
from bassbench.stems.files import AUDIO_SUFFIXES, audio_files
from bassbench.suite.anchors import OTHER, Anchor
from bassbench.suite.anchors import VERSION as ANCHOR_VERSION
from bassbench.suite.clip_set import ClipEntry

STYLES = ("none", "own", "other")
_TOLERANCE = 0.25  # seconds by which an output may miss the mix's length: a codec's frame, an mp3's padding


@dataclasses.dataclass(frozen=True)
class Pieces:
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
    """Basses to be scored, by index of `pieces.entries`."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def setting(self) -> dict[str, Any]:
        """What tells sources of one name apart."""
        ...

    @property
    def pieces(self) -> Pieces:
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
    pieces: Pieces
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
        clip, partner = (self.pieces.entries[i].key for i in (index, self.pieces.partners[index]))
        other = partner if self.name == OTHER or self.pieces.style == "other" else ""
        parts = (str(ANCHOR_VERSION), self.name, self.about, clip, other, str(self.pieces.clip_seed(index)))
        return content_hash("anchor", *parts)

    def give(self, index: int) -> Scored:
        """The clip with the anchor's bass."""
        clip = self.pieces.entries[index].load()
        partner = self.pieces.entries[self.pieces.partners[index]].load()
        bass = self.anchor(clip, partner, self.pieces.clip_seed(index))
        return Scored(clip, bass, self.pieces.style_of(index, clip))


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Audio files named by clip or, where each song has one clip, by song."""

    name: str
    folder: Path
    pieces: Pieces

    def __post_init__(self) -> None:
        """Find every file at once, so that nothing is measured if one is missing."""
        if not self.folder.is_dir():
            raise BadInputError(f"{self.folder}: no such folder; give a folder of audio files named by clip")
        files: dict[str, Path] = {}
        for path in audio_files(self.folder):
            if path.stem in files:
                raise BadInputError(f"{path}: there is {files[path.stem].name} too; keep one file a clip")
            files[path.stem] = path
        songs = [entry.song for entry in self.pieces.entries]
        found: list[Path] = []
        missing: list[str] = []
        for entry in self.pieces.entries:
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
        object.__setattr__(self, "_files", tuple(found))

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of each clip."""
        return self._files  # type: ignore[attr-defined,no-any-return]

    @property
    def setting(self) -> dict[str, Any]:
        """Files are told apart by their content alone."""
        return {}

    def prepare(self, indexes: Sequence[int]) -> dict[int, float]:
        """Nothing to prepare."""
        return {}

    def key(self, index: int) -> str:
        """Hash of the clip and of the file's bytes."""
        return content_hash(self.pieces.entries[index].key, content_of(self.files[index]))

    def give(self, index: int) -> Scored:
        """The clip with the file's audio at 44.1 kHz; a length that differs by up to 0.25 s is made to fit."""
        clip = self.pieces.entries[index].load()
        bass = read_audio(self.files[index])
        check_length(bass.shape[1], clip.mix.shape[1], SAMPLE_RATE, str(self.files[index]))
        return Scored(clip, fit_length(bass, clip.mix.shape[1]), self.pieces.style_of(index, clip))


def check_length(samples: int, expected: int, sample_rate: int, where: str) -> None:
    """Raise BadInputError if a bass is much longer or shorter than its mix."""
    if abs(samples - expected) > _TOLERANCE * sample_rate:
        raise BadInputError(
            f"{where}: {samples / sample_rate:.2f} s of bass for a mix of {expected / sample_rate:.2f} s; "
            f"lengths may differ by {_TOLERANCE:g} s"
        )


def content_of(path: Path) -> bytes:
    """A file's bytes; BadInputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot read ({error.strerror})") from None
