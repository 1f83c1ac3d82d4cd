"""Is the bass safe in stereo?  Low notes belong in the middle, and nothing should vanish when a phone plays mono.

Conventions: audio `(2, samples)` at 44.1 kHz; mid = (left + right) / 2, side = (left - right) / 2 (Blumlein 1931).
Levels are in dB and kept within +-120.
"""

import numpy as np
from scipy.signal import welch

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.metric import ClipMetric, Scored

_WINDOW = 16_384  # bins of 2.7 Hz
_LOWEST = 20.0
_LIMIT_DB = 120.0
_SILENT = 1e-6  # -60 dBFS of power
_CITATION = "mid/side matrix: Blumlein 1931, patent GB 394325"


def side_to_mid_db(audio: np.ndarray, *, below: float = 120.0, sample_rate: int = SAMPLE_RATE) -> float:
    """Energy of the side over that of the mid from 20 Hz to `below`, in dB: -120 for mono, 120 for opposite channels.

    NaN where nothing below that frequency sounds (-60 dBFS in the band).

    Raises:
        ValueError: see `validate`.
    """
    validate(audio)
    sides = np.stack([audio[0].astype(np.float64) + audio[1], audio[0].astype(np.float64) - audio[1]]) / 2
    frequency, power = welch(sides, sample_rate, nperseg=min(_WINDOW, audio.shape[1]))
    band = (frequency >= _LOWEST) & (frequency < below)
    mid, side = power[:, band].sum(axis=1) * (frequency[1] if len(frequency) > 1 else 0.0)
    return _ratio_db(side, mid) if mid + side > _SILENT else float("nan")


def fold_down_loss_db(audio: np.ndarray) -> float:
    """What is lost when the channels are averaged to mono: mean channel energy over that of the mid, in dB.

    0 for equal channels, 3 for unrelated ones or one alone, 120 for opposite ones; NaN for silence (-60 dBFS).

    Raises:
        ValueError: see `validate`.
    """
    validate(audio)
    samples = audio.astype(np.float64)
    stereo, mono = float(np.mean(samples**2)), float(np.mean(samples.mean(axis=0) ** 2))
    return _ratio_db(stereo, mono) if stereo > _SILENT else float("nan")


def validate(audio: np.ndarray) -> None:
    """Check the input of this module's metrics.

    Raises:
        ValueError: not `(2, samples)`, no samples, NaN or Inf.
    """
    if audio.ndim != 2 or audio.shape[0] != 2 or not audio.shape[1]:
        raise ValueError(f"expected stereo audio (2, samples), got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError("the audio holds NaN or Inf")


def _ratio_db(above: float, below: float) -> float:
    smallest = 10 ** (-_LIMIT_DB / 10) * max(above, below)
    return float(10 * np.log10(max(above, smallest) / max(below, smallest)))


def _side_to_mid(scored: Scored) -> float:
    return side_to_mid_db(scored.bass)


def _fold_down_loss(scored: Scored) -> float:
    return fold_down_loss_db(scored.bass)


METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("side to mid below 120 Hz", "dB", "real", _CITATION, _side_to_mid),
    ClipMetric("mono fold-down loss", "dB", "lower", _CITATION, _fold_down_loss),
)
