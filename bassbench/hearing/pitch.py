"""Fundamental frequency of a bass, frame by frame (YIN; de Cheveigne and Kawahara, 2002), for 35 to 400 Hz."""

from dataclasses import dataclass

import numpy as np

from bassbench.audio import SAMPLE_RATE, mono
from bassbench.hearing.cached import cached

LOWEST_HZ, HIGHEST_HZ = 35.0, 400.0
SILENT_RMS = 1e-4
_RATE = 4000  # ten samples a period at 400 Hz; parabolas between lags do the rest
_HOP = 80
_WINDOW = 256  # 64 ms, over two periods of a low E
_DIP = 0.15  # YIN's threshold: the first dip this deep is the period
_SLACK = 0.1
_BLOCK = 2048  # frames at a time, so that memory does not grow with their number
_VOICED_DIP = 0.3
_VOICED_DECIBELS = 35.0


@dataclass(frozen=True)
class PitchTrack:
    """Per frame `(frames,)`: centre in seconds, f0 in Hz (also where unvoiced), voicing, and RMS level.

    Frames are 20 ms apart.
    """

    times: np.ndarray
    f0: np.ndarray
    voiced: np.ndarray
    level: np.ndarray

    @property
    def midi(self) -> np.ndarray:
        """f0 as fractional MIDI note numbers."""
        return 69 + 12 * np.log2(self.f0 / 440)


@cached
def bass_pitch(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> PitchTrack:
    """Track the pitch of a bass `(channels, samples)`, folded down to mono.

    A frame is voiced if its waveform repeats (YIN's normalised difference below 0.3) and its level is within 35 dB of
    the loud frames (95th percentile) and above -80 dBFS. Audio shorter than a frame has no frames.

    Raises:
        ValueError: the audio is not `(channels, samples)`, or holds NaN or Inf.
    """
    folded = mono(audio, sample_rate, _RATE).astype(np.float64)
    longest = int(np.ceil(_RATE / LOWEST_HZ)) + 1
    length = _WINDOW + longest
    if len(folded) < length:
        return PitchTrack(*(np.zeros(0, kind) for kind in (float, float, bool, float)))
    frames = np.lib.stride_tricks.sliding_window_view(folded, length)[::_HOP]
    blocks = [_period(frames[start : start + _BLOCK], longest) for start in range(0, len(frames), _BLOCK)]
    lag, dip, level = (np.concatenate(values) for values in zip(*blocks, strict=True))
    loud = np.quantile(level, 0.95)
    voiced = (dip < _VOICED_DIP) & (level > max(loud * 10 ** (-_VOICED_DECIBELS / 20), SILENT_RMS))
    times = (np.arange(len(frames)) * _HOP + length / 2) / _RATE
    return PitchTrack(times, _RATE / lag, voiced, level)


def _period(frames: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lag, depth of its dip and RMS level, each `(frames,)`."""
    lag, dip = _first_dip(_normalised_difference(frames, longest), int(_RATE / HIGHEST_HZ))
    return lag, dip, np.sqrt(np.mean(frames**2, axis=1))


def _normalised_difference(frames: np.ndarray, longest: int) -> np.ndarray:
    """YIN's cumulative mean normalised difference (equation 8), `(frames, longest + 1)`; 1 for silence."""
    size = 1 << int(np.ceil(np.log2(frames.shape[1] + _WINDOW)))
    spectrum = np.fft.rfft(frames, size)
    window = np.fft.rfft(frames[:, :_WINDOW], size)
    correlation = np.fft.irfft(spectrum * window.conj(), size)[:, : longest + 1]
    squares = np.pad(np.cumsum(frames**2, axis=1), ((0, 0), (1, 0)))
    energy = squares[:, _WINDOW : _WINDOW + longest + 1] - squares[:, : longest + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0.0)
    total = np.cumsum(difference[:, 1:], axis=1)
    normalised = np.ones_like(difference)
    lags = np.arange(1, longest + 1)
    np.divide(difference[:, 1:] * lags, total, out=normalised[:, 1:], where=total > 1e-12)
    return normalised


def _first_dip(difference: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """The period in fractional lags and the depth of the chosen dip, each `(frames,)`."""
    inner = difference[:, shortest:-1]
    is_dip = (inner <= difference[:, shortest - 1 : -2]) & (inner < difference[:, shortest + 1 :])
    dips = np.where(is_dip, inner, np.inf)
    # A plucked note decays within the frame: no dip may be deep, and the first good one is the period, not the lowest.
    enough = np.maximum(_DIP, dips.min(axis=1, keepdims=True) + _SLACK)
    index = (dips <= enough).argmax(axis=1) + shortest
    rows = np.arange(len(difference))
    before, at, after = (difference[rows, index + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=np.abs(bend) > 1e-12)
    return index + np.clip(shift, -0.5, 0.5), at
