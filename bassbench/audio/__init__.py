"""Audio as the suite sees it: float32 `(2, samples)` at 44.1 kHz, read, written, resampled and checked in one place."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bassbench.audio.containers import refuse_misread
from bassbench.errors import BadInputError
from bassbench.files import atomic_path

SAMPLE_RATE = 44_100
TARGET_LUFS = -23.0
RESAMPLER = "soxr-VHQ"
_MIN_LOUDNESS_SECONDS = 0.4  # one gating block of ITU-R BS.1770
_LARGEST_WAV = 2**32 - 2**16  # bytes: the format counts them in 32 bits


def read_audio(
    path: str | Path, sample_rate: int = SAMPLE_RATE, *, start: int = 0, frames: int | None = None
) -> np.ndarray:
    """Read a file, or `frames` samples of it from `start` (both at the file's own rate), as float32 `(2, samples)`.

    Mono is doubled; more than two channels are refused, since no fold-down is right for all layouts.

    Raises:
        BadInputError: the file is missing, empty, truncated, not audio, or holds NaN or Inf.
    """
    with _opened(Path(path)) as file:
        if start:
            file.seek(start)
        audio = _checked(file.read(-1 if frames is None else frames, dtype="float32", always_2d=True), path)
    if audio.shape[1] == 0:
        raise BadInputError(f"{path}: the file holds no samples")
    return resample(audio, file.samplerate, sample_rate)


def audio_blocks(path: str | Path, sample_rate: int = SAMPLE_RATE, *, block: int = 2**20) -> Iterator[np.ndarray]:
    """What `read_audio` gives for a whole file, in blocks `(2, samples)` of about `block` samples of the file.

    Raises:
        BadInputError: as `read_audio`, when the block is reached.
    """
    with _opened(Path(path)) as file:
        rates = (file.samplerate, sample_rate)
        resampler = None if rates[0] == rates[1] else soxr.ResampleStream(*rates, 2, dtype="float32", quality="VHQ")
        more, any_samples = True, False
        while more:
            audio = _checked(file.read(block, dtype="float32", always_2d=True), path)
            more = audio.shape[1] > 0
            any_samples |= more
            if resampler is not None:
                audio = np.ascontiguousarray(resampler.resample_chunk(audio.T, last=not more).T)
            if audio.shape[1]:
                yield audio
    if not any_samples:
        raise BadInputError(f"{path}: the file holds no samples")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    if not path.is_file():
        raise BadInputError(f"{path}: no such audio file")
    try:
        with soundfile.SoundFile(path) as file:
            refuse_misread(path)
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadInputError(f"{path}: not a readable audio file ({error}); use wav, flac, ogg or mp3") from None


def _checked(frames: np.ndarray, path: str | Path) -> np.ndarray:
    """Frames `(samples, channels)` as finite stereo `(2, samples)`."""
    audio = to_stereo(frames.T, name=str(path))
    if not np.isfinite(audio).all():
        raise BadInputError(f"{path}: the audio holds NaN or Inf; repair it before scoring")
    return audio


def write_audio(path: str | Path, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write `(channels, samples)` as 24-bit wav or flac (by suffix), whole or not at all.

    Raises:
        BadInputError: the suffix is unknown, the audio is not finite or too long for a wav file (4.5 hours of stereo),
            or the folder cannot be written.
    """
    write_audio_blocks(path, (audio,), sample_rate, channels=len(audio))


def write_audio_blocks(
    path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int = SAMPLE_RATE, *, channels: int = 2
) -> None:
    """As `write_audio`, for audio that comes in blocks `(channels, samples)`; no file if making them fails."""
    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise BadInputError(f"{path}: can write .wav or .flac, not '{path.suffix}'")
    kind = path.suffix[1:].upper()
    try:
        with (
            atomic_path(path) as temporary,
            soundfile.SoundFile(temporary, "w", sample_rate, channels, "PCM_24", format=kind) as file,
        ):
            for audio in blocks:
                if not np.isfinite(audio).all():
                    raise BadInputError(f"{path}: refused to write NaN or Inf")
                if kind == "WAV" and 3 * channels * (file.tell() + audio.shape[1]) > _LARGEST_WAV:
                    raise BadInputError(f"{path}: too long for a .wav file (4 GiB); write .flac")
                file.write(np.clip(audio.T, -1, 1))
    except (OSError, soundfile.LibsndfileError) as error:
        raise BadInputError(f"{path}: cannot write ({error})") from None


def write_float(path: str | Path, audio: np.ndarray, sample_rate: int = SAMPLE_RATE, *, comment: str = "") -> None:
    """Write `(channels, samples)` as a wav of 32-bit floats, whole or not at all: nothing is clipped, NaN and Inf stay.

    Raises:
        BadInputError: the file cannot be written.
    """
    try:
        with (
            atomic_path(path) as temporary,
            soundfile.SoundFile(temporary, "w", sample_rate, len(audio), "FLOAT", format="WAV") as file,
        ):
            if comment:  # libsndfile takes no empty one
                file.comment = comment
            file.write(audio.T)
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


def mono(audio: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """The mean of the channels of `(channels, samples)` at another rate: float32 `(samples,)`.

    Raises:
        ValueError: the audio is not `(channels, samples)`, or holds NaN or Inf.
    """
    if audio.ndim != 2 or not np.isfinite(audio).all():
        raise ValueError(f"expected finite audio (channels, samples), got shape {audio.shape}, NaN or Inf")
    return resample(audio.mean(axis=0, dtype=np.float32)[None], from_rate, to_rate)[0]


def loudness(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4) of `(channels, samples)`; -inf for silence.

    A clip shorter than one gating block (0.4 s) is padded with its own repetition.
    """
    shortage = int(np.ceil(_MIN_LOUDNESS_SECONDS * sample_rate)) + 1
    if 0 < audio.shape[1] < shortage:
        audio = np.tile(audio, (1, -(-shortage // audio.shape[1])))
    if not audio.size or not np.any(audio):
        return -np.inf
    import pyloudnorm  # its scipy.signal takes a second that most commands should not pay

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
