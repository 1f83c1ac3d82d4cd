"""Spectra for the metrics, in numpy; the models have their own, differentiable ones."""

import functools

import librosa
import numpy as np

from bassbench.audio import SAMPLE_RATE


@functools.lru_cache(maxsize=8)
def _mel_basis(sample_rate: int, window: int, bands: int, low: float, high: float) -> np.ndarray:
    return librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=bands, fmin=low, fmax=high)


def power_spectrogram(audio: np.ndarray, *, window: int = 4096, hop: int = 1024) -> np.ndarray:
    """Hann power spectrogram of `(samples,)` or `(channels, samples)` -> `(..., window // 2 + 1, frames)`."""
    return np.abs(librosa.stft(audio, n_fft=window, hop_length=hop, pad_mode="constant")) ** 2


def log_mel(
    audio: np.ndarray,
    *,
    sample_rate: int = SAMPLE_RATE,
    window: int = 4096,
    hop: int = 1024,
    bands: int = 128,
    low: float = 20.0,
    high: float = 20_000.0,
    floor: float = 1e-8,
) -> np.ndarray:
    """Natural log of the mel power `(..., bands, frames)`; the lowest band starts at 20 Hz, below a low B."""
    basis = _mel_basis(sample_rate, window, bands, low, min(high, sample_rate / 2))
    return np.log(np.maximum(basis @ power_spectrogram(audio, window=window, hop=hop), floor)).astype(np.float32)
