"""Log-magnitude spectra on a pitch axis that starts below the lowest bass note, normalised in level.

Each pitched bin is the magnitude of a windowed complex exponential at exactly its own frequency (a variable-Q
transform, computed as a matrix product on frames), so that semitones stay apart down to 27.5 Hz. On this axis a
transposition is a step along the bins and a delay is a step along the frames.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor

from bassbench.audio import SAMPLE_RATE, fit_length
from contrastive.config import FeatureConfig

VERSION = "1"  # raise it when the same configuration gives other features
STEPS_PER_DECIBEL = 3
FLOOR = -70.0
"""Decibels below the clip's level that are stored as 0; the largest value, 255, is 15 dB above the level."""
SILENCE = -80.0
"""A clip whose level is below this, in decibels relative to a full-scale sine, is silent."""
_DECIMATION = 8
_LOW_TOP_HZ = 700.0
_CHUNK = 512
"""Frames computed at a time, to bound the memory that a long file takes."""


def features(audio: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Features uint8 `(bins, frames)` of `(channels, samples)` at 44.1 kHz: decibels times 3 above the floor.

    Power is averaged over the channels, so anti-phase stereo counts in full. The clip's level (the 99th percentile over
    frames of the loudest bin) is 0 dB, so no gain changes the result; a silent clip is all zeros. Frame i is centred
    on sample i times hop.
    """
    audio = np.asarray(audio, dtype=np.float32)
    frames = math.ceil(audio.shape[1] / config.hop)
    low, high, bands = _transforms(config)
    audio = fit_length(audio, max(audio.shape[1], config.hop))  # soxr refuses a single sample
    decimated = soxr.resample(audio.T, SAMPLE_RATE, SAMPLE_RATE / _DECIMATION, quality="HQ").T
    power = torch.cat(
        [
            _power(decimated, low, config.hop // _DECIMATION, frames),
            _power(audio, high, config.hop, frames),
            _band_power(audio, bands, config.hop, frames),
        ]
    )
    decibels = 10 * torch.log10(power + 1e-20)
    level = clip_level(decibels)
    if level < SILENCE:
        return np.zeros((config.bins, frames), dtype=np.uint8)
    steps = (decibels - level - FLOOR) * STEPS_PER_DECIBEL
    return steps.round().clamp(0, 255).to(torch.uint8).numpy()


@dataclass(frozen=True)
class Place:
    """Where a tower looks at a song: feature frame of the start, feature frames per frame seen, semitones up."""

    start: float
    rate: float
    semitones: int


def view(features: np.ndarray, place: Place, frames: int, config: FeatureConfig) -> np.ndarray:
    """What a tower sees, uint8 `(view + upper bands, frames)`, of features `(bins, song frames)` from a place on.

    Music that is seen `semitones` higher is seen from lower down. Frames beyond the ends repeat the last one.
    """
    columns = np.rint(place.start + place.rate * np.arange(frames)).astype(int).clip(0, features.shape[1] - 1)
    bottom = (config.room - place.semitones) * config.bins_per_semitone
    if not 0 <= bottom <= 2 * config.room * config.bins_per_semitone:
        raise ValueError(f"there is room for {config.room} semitones up and down, not {place.semitones}")
    first, last = columns.min(), columns.max() + 1
    seen = np.concatenate([features[bottom : bottom + config.view, first:last], features[config.pitched :, first:last]])
    return seen[:, columns - first]


def clip_level(decibels: Tensor) -> float:
    """Level of a clip `(bins, frames)` in decibels: the 99th percentile over frames of the loudest bin."""
    return float(torch.quantile(decibels.amax(dim=0), 0.99))


def pitch_hz(config: FeatureConfig) -> np.ndarray:
    """Centre frequencies of the pitched bins."""
    steps = np.arange(config.pitched) / config.bins_per_semitone
    return 440.0 * 2 ** ((config.lowest - config.room + steps - 69) / 12)


def _power(audio: np.ndarray, kernel: Tensor, hop: int, frames: int) -> Tensor:
    """Power `(bins, frames)`, mean over channels, of cosine and sine kernels `(window, 2 bins)` on centred frames."""
    window, bins = kernel.shape[0], kernel.shape[1] // 2
    return torch.cat(
        [
            (part @ kernel).square().reshape(*part.shape[:2], 2, bins).sum(dim=2).mean(dim=0).T
            for part in _framed(audio, window, hop, frames)
        ],
        dim=1,
    )


def _band_power(audio: np.ndarray, bands: Tensor, hop: int, frames: int) -> Tensor:
    """Power `(bands, frames)`, mean over channels, of weights `(window / 2 + 1, bands)` on a Hann periodogram."""
    window = 2 * (len(bands) - 1)
    taper = torch.hann_window(window)
    scale = (2 / taper.sum()).square()
    return torch.cat(
        [
            (torch.fft.rfft(part * taper).abs().square() @ bands).mean(dim=0).T * scale
            for part in _framed(audio, window, hop, frames)
        ],
        dim=1,
    )


def _framed(audio: np.ndarray, window: int, hop: int, frames: int) -> list[Tensor]:
    """Centred frames `(channels, some frames, window)`, zeros beyond the ends, in chunks that share memory."""
    padded = np.zeros((len(audio), (frames - 1) * hop + window), dtype=np.float32)
    inside = min(audio.shape[1], padded.shape[1] - window // 2)
    padded[:, window // 2 : window // 2 + inside] = audio[:, :inside]
    return list(torch.from_numpy(padded).unfold(1, window, hop).split(_CHUNK, dim=1))


@functools.lru_cache(maxsize=4)
def _transforms(config: FeatureConfig) -> tuple[Tensor, Tensor, Tensor]:
    hz = pitch_hz(config)
    seconds = np.clip(34.0 / hz, config.shortest, config.longest)
    low = hz < _LOW_TOP_HZ
    return (
        _kernel(hz[low], seconds[low], SAMPLE_RATE / _DECIMATION),
        _kernel(hz[~low], seconds[~low], SAMPLE_RATE),
        _bands(config),
    )


def _kernel(hz: np.ndarray, seconds: np.ndarray, rate: float) -> Tensor:
    """Hann-windowed cosines and sines `(window, 2 bins)`; a sine at full scale gives a power of 1."""
    half = math.ceil(seconds.max(initial=0.01) * rate / 2)
    times = np.arange(-half, half)[:, None] / rate
    taper = np.where(np.abs(times) < seconds / 2, 0.5 + 0.5 * np.cos(2 * np.pi * times / seconds), 0.0)
    taper *= 2 / taper.sum(axis=0)
    phase = 2 * np.pi * hz * times
    return torch.from_numpy(np.concatenate([taper * np.cos(phase), taper * np.sin(phase)], axis=1).astype(np.float32))


def _bands(config: FeatureConfig) -> Tensor:
    """Triangular bands, equally spaced in pitch from the top of the view, over the bins of a 2048-sample window."""
    bottom = 440.0 * 2 ** ((config.lowest + config.semitones - 69) / 12)
    edges = np.geomspace(bottom, config.upper_hz, config.upper_bands + 2)
    bins = np.fft.rfftfreq(2048, 1 / SAMPLE_RATE)
    corners = np.stack([edges[:-2], edges[1:-1], edges[2:]])
    weights = [np.interp(bins, corner, [0.0, 1.0, 0.0], left=0.0, right=0.0) for corner in corners.T]
    return torch.from_numpy(np.stack(weights, axis=1).astype(np.float32))
