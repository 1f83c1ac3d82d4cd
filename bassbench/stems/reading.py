"""Windows of audio files: any rate, mono or stereo, what libsndfile reads; read by seeking, never the whole file."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE, fit_length, read_audio
from bassbench.audio.containers import refuse_misread
from bassbench.errors import BadInputError

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
