"""Audio as the suite sees it: float32 `(2, samples)` at 44.1 kHz, read, written, resampled and checked in one place."""

from pathlib import Path

import numpy as np
import pyloudnorm
import soundfile
import soxr

from bassbench.bad_input import BadInputError
from bassbench.files import atomic_path

SAMPLE_RATE = 44_100
TARGET_LUFS = -23.0
RESAMPLER = "soxr-VHQ"
_MIN_LOUDNESS_SECONDS = 0.4  # one gating block of ITU-R BS.1770


def read_audio(
    path: str | Path, sample_rate: int = SAMPLE_RATE, *, start: int = 0, frames: int | None = None
) -> np.ndarray:
    """Read a file, or `frames` samples of it from `start` (both at the file's own rate), as float32 `(2, samples)`.

    Mono is doubled; more than two channels are refused, since no fold-down is right for all layouts.

    Raises:
        BadInputError: the file is missing, empty, truncated, not audio, or holds NaN or Inf.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError(f"{path}: no such audio file")
    try:
        audio, rate = soundfile.read(path, start=start, frames=-1 if frames is None else frames, dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadInputError(f"{path}: not a readable audio file ({error}); use wav, flac, ogg or mp3") from None
    audio = to_stereo(np.atleast_2d(audio.T), name=str(path))
    if audio.shape[1] == 0:
        raise BadInputError(f"{path}: the file holds no samples")
    if not np.isfinite(audio).all():
        raise BadInputError(f"{path}: the audio holds NaN or Inf; repair it before scoring")
    return resample(audio, rate, sample_rate)


def write_audio(path: str | Path, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write `(channels, samples)` as 24-bit wav or flac (by suffix), whole or not at all.

    Raises:
        BadInputError: the suffix is unknown, the audio is not finite, or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise BadInputError(f"{path}: can write .wav or .flac, not '{path.suffix}'")
    if not np.isfinite(audio).all():
        raise BadInputError(f"{path}: refused to write NaN or Inf")
    try:
        with atomic_path(path) as temporary:
            kind = path.suffix[1:].upper()
            soundfile.write(temporary, np.clip(audio.T, -1, 1), sample_rate, subtype="PCM_24", format=kind)
    except (OSError, soundfile.LibsndfileError) as error:
        raise BadInputError(f"{path}: cannot write ({error})") from None


def to_stereo(audio: np.ndarray, *, name: str = "audio") -> np.ndarray:
    """Mono `(1, samples)` doubled, stereo as it is.

    Raises:
        BadInputError: more than two channels.
    """
    if audio.ndim != 2 or audio.shape[0] not in (1, 2):
        raise BadInputError(f"{name}: expected mono or stereo, got {audio.shape[0]} channels; fold it down first")
    return np.ascontiguousarray(np.broadcast_to(audio, (2, audio.shape[1])), dtype=np.float32)


def resample(audio: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Resample `(channels, samples)` with soxr at its highest quality; the same array when the rates agree."""
    if from_rate == to_rate:
        return audio
    return np.ascontiguousarray(soxr.resample(audio.T, from_rate, to_rate, quality="VHQ").T, dtype=np.float32)


def loudness(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4) of `(channels, samples)`; -inf for silence.

    A clip shorter than one gating block (0.4 s) is padded with its own repetition.
    """
    shortage = int(np.ceil(_MIN_LOUDNESS_SECONDS * sample_rate)) + 1
    if 0 < audio.shape[1] < shortage:
        audio = np.tile(audio, (1, -(-shortage // audio.shape[1])))
    if not audio.size or not np.any(audio):
        return -np.inf
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(sample_rate).integrated_loudness(audio.T.astype(np.float64)))


def loudness_normalise(audio: np.ndarray, lufs: float = TARGET_LUFS, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Bring `(channels, samples)` to `lufs`; silence (nothing above the gate) stays as it is."""
    measured = loudness(audio, sample_rate)
    if not np.isfinite(measured):
        return audio
    return (audio * 10 ** ((lufs - measured) / 20)).astype(np.float32)


def fit_length(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad the last axis to `samples`."""
    if audio.shape[-1] >= samples:
        return audio[..., :samples]
    padding = [(0, 0)] * (audio.ndim - 1) + [(0, samples - audio.shape[-1])]
    return np.pad(audio, padding)


def assert_audio_valid(audio: np.ndarray, *, samples: int | None = None) -> None:
    """Assert that `(2, samples)` is finite, within full scale, not silent and of the expected length."""
    assert audio.ndim == 2 and audio.shape[0] == 2, f"expected (2, samples), got {audio.shape}"
    assert samples is None or audio.shape[1] == samples, f"expected {samples} samples, got {audio.shape[1]}"
    assert np.isfinite(audio).all(), "audio holds NaN or Inf"
    peak = float(np.abs(audio).max())
    assert 1e-4 < peak <= 1.0, f"peak {peak} is silent or out of range"
