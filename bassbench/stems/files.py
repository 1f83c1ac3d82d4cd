"""Files of datasets: which there are below a folder, windows of audio files, metadata.

What is hidden (".ipynb_checkpoints", "._bass.wav") or unpacked for macOS ("__MACOSX") is neither a track nor a stem.
Audio may have any rate, be mono or stereo, of what libsndfile reads; it is read by seeking, never the whole file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from bassbench.audio import SAMPLE_RATE, fit_length, read_audio
from bassbench.audio.containers import refuse_misread
from bassbench.errors import BadInputError
from bassbench.files import parse_json

_CONTEXT_SECONDS = 0.05  # each side of a window that is resampled: longer than the resampling filter


@dataclass(frozen=True)
class AudioHeader:
    """What a file's header says; `samples` is the length at 44.1 kHz."""

    rate: int
    frames: int
    channels: int
    subtype: str

    @property
    def samples(self) -> int:
        """Length in samples at 44.1 kHz."""
        return math.ceil(self.frames * SAMPLE_RATE / self.rate)


def read_header(path: Path) -> AudioHeader:
    """Read what a file's header says.

    Raises:
        BadInputError: the file is missing, not audio, or would be misread (`bassbench.audio.containers`).
    """
    if not path.is_file():
        raise BadInputError(f"{path}: no such audio file")
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ") or "no reason given"
        raise BadInputError(f"{path}: not a readable audio file ({reason}); use wav, flac, ogg or mp3") from None
    refuse_misread(path)
    return AudioHeader(info.samplerate, info.frames, info.channels, info.subtype)


def read_window(path: Path, start: int, samples: int) -> np.ndarray:
    """Read `samples` from `start`, both at 44.1 kHz, as float32 `(2, samples)`; silence beyond the file's ends.

    Away from the file's ends a window equals the same stretch of the whole file resampled at once.

    Raises:
        BadInputError: the file is missing, damaged, not mono or stereo, or holds NaN or Inf in the window.
    """
    header = read_header(path)
    if start < 0 or start >= header.samples or samples <= 0:
        return np.zeros((2, max(samples, 0)), np.float32)
    # Reading begins at a sample of the file that falls on a sample at 44.1 kHz, so that windows share one time grid.
    common = math.gcd(SAMPLE_RATE, header.rate)
    step_in, step_out = header.rate // common, SAMPLE_RATE // common
    context = 0 if header.rate == SAMPLE_RATE else round(_CONTEXT_SECONDS * SAMPLE_RATE)
    steps = max(start - context, 0) // step_out
    end = math.ceil((start + samples + context) * header.rate / SAMPLE_RATE)
    frames = min(end, header.frames) - steps * step_in
    audio = read_audio(path, start=steps * step_in, frames=frames)
    return fit_length(audio[:, start - steps * step_out :], samples)


AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg"),
    *(".oga", ".opus", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".rf64", ".au"),
)
"""What libsndfile reads; the first four are what the commands ask for."""
NOT_READ = (".m4a", ".aac", ".wma", ".ape", ".wv", ".mka", ".ac3", ".alac", ".sd2", ".mpc")
"""Audio that needs another decoder."""


def below(root: Path, *patterns: str) -> list[Path]:
    """What matches the patterns below a folder, in order of the patterns and then of names, without what is hidden."""
    return [path for pattern in patterns for path in sorted(root.glob(pattern)) if _shown(path.relative_to(root))]


def folders_below(root: Path, *patterns: str) -> list[Path]:
    """The folders among `below`."""
    return [path for path in below(root, *patterns) if path.is_dir()]


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in a folder that can be read, by suffix."""
    return _files(folder, AUDIO_SUFFIXES)


def files_not_read(folder: Path) -> list[Path]:
    """Audio files directly in a folder that cannot be read, by suffix."""
    return _files(folder, NOT_READ)


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path for path in below(folder, "*") if path.suffix.lower() in suffixes and path.is_file()]


def _shown(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read a JSON or YAML file (by suffix) whose top level is a mapping.

    Raises:
        BadInputError: the file is missing, damaged or something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = parse_json(text) if path.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BadInputError(f"{path}: cannot read the metadata ({reason}); get it again") from None
    if not isinstance(value, Mapping):
        raise BadInputError(f"{path}: expected a mapping of fields, found {type(value).__name__}")
    return value


def entry(values: Any, name: str, kind: type, where: Path) -> Any:
    """The field `name` of a mapping, which must be of `kind`.

    Raises:
        BadInputError: it is missing or of another kind.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get(name), kind):
        raise BadInputError(f"{where}: no field '{name}' of type {kind.__name__} where the layout has one")
    return values[name]
