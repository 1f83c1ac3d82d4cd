"""How strongly a bass sets on, moment by moment: the rise of its level over frequency bands, in dB.

Spectral flux on a logarithmic scale (Böck, Krebs and Schedl, "Evaluating the online capabilities of onset detection
methods", 2012), with bands and windows chosen for notes from 35 Hz on: a window holds two periods and more, so that
the wave itself does not ripple the level.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from bassbench.audio import SAMPLE_RATE, mono
from bassbench.hearing.cached import cached

_RATE = 11_025
_HOP = 64
_WINDOW = 768
_LAG = 4  # a rise is measured over four hops, 23 ms
_EDGES_HZ = (30, 90, 150, 220, 300, 400, 520, 680, 880, 1150, 1500, 2000, 2700, 3600, 5000)
_RANGE_DECIBELS = 50.0
_SILENT_POWER = 1e-9
_EARLY = 0.011  # the edge of the window meets a note, and its level in dB rises, before its middle does; as measured
_BLOCK = 4096


@dataclass(frozen=True)
class OnsetEnvelope:
    """Per frame `(frames,)`, 5.8 ms apart: time in seconds and onset strength in dB, never negative."""

    times: np.ndarray
    strength: np.ndarray


@cached
def onset_envelope(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> OnsetEnvelope:
    """Onset strength of `(channels, samples)`, folded down to mono: the mean over bands of the rise within 23 ms.

    Levels more than 50 dB below the loudest band do not count, so the strength does not depend on the gain.

    Raises:
        ValueError: the audio is not `(channels, samples)`, or holds NaN or Inf.
    """
    folded = mono(audio, sample_rate, _RATE)
    # Half a window and the lag of silence before the start, so that a note at time 0 has an onset.
    padded = np.pad(folded, (_WINDOW // 2 + _LAG * _HOP, _WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    taper = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    bins = np.ceil(np.array(_EDGES_HZ) * _WINDOW / _RATE).astype(int)
    power = np.concatenate(
        [
            np.add.reduceat(np.abs(scipy.fft.rfft(frames[start : start + _BLOCK] * taper)) ** 2, bins, axis=1)[:, :-1]
            for start in range(0, len(frames), _BLOCK)
        ]
    )
    loudest = float(np.quantile(power.max(axis=1), 0.99))
    if loudest < _SILENT_POWER * _WINDOW**2:
        level = np.zeros_like(power)
    else:
        level = 10 * np.log10(np.maximum(power / loudest, 10 ** (-_RANGE_DECIBELS / 10)))
    strength = np.maximum(level[_LAG:] - level[:-_LAG], 0).mean(axis=1)
    times = (np.arange(len(strength)) - _LAG / 2) * _HOP / _RATE + _EARLY
    return OnsetEnvelope(times, strength)
