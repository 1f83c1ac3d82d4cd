"""Is the bass as loud, and does it play as much, as the real one?  Levels by ITU-R BS.1770-4."""

import numpy as np

from bassbench.audio import loudness
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.metric import ClipMetric, Scored


def loudness_difference(audio: np.ndarray, real: np.ndarray) -> float:
    """Integrated loudness of `(channels, samples)` above that of the real bass, in LU; NaN if either is silent.

    Raises:
        ValueError: see `validate`.
    """
    validate(audio, real)
    levels = loudness(audio), loudness(real)
    return levels[0] - levels[1] if np.isfinite(levels).all() else float("nan")


def voiced_ratio(track: PitchTrack, real: PitchTrack) -> float:
    """Voiced frames of a bass to those of the real one: 0 for silence, NaN if the real bass has none."""
    count = int(real.voiced.sum())
    return float(track.voiced.sum() / count) if count else float("nan")


def validate(audio: np.ndarray, real: np.ndarray) -> None:
    """Check a bass and the real one.

    Raises:
        ValueError: not `(channels, samples)`, or NaN or Inf.
    """
    for sound in (audio, real):
        if sound.ndim != 2 or not np.isfinite(sound).all():
            raise ValueError(f"expected finite audio (channels, samples), got shape {sound.shape}, NaN or Inf")


def _loudness_difference(scored: Scored) -> float:
    return loudness_difference(scored.bass, scored.clip.bass)


def _voiced_ratio(scored: Scored) -> float:
    return voiced_ratio(bass_pitch(scored.bass), bass_pitch(scored.clip.bass))


METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("loudness against the real bass", "LU", "real", "ITU-R BS.1770-4; pyloudnorm", _loudness_difference),
    ClipMetric("voiced share against the real bass", "", "real", "YIN: de Cheveigne and Kawahara 2002", _voiced_ratio),
)
