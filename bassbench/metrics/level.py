"""Is the bass as loud, and does it play as much, as the real one?  Does a long one hold up to its end?

Loudness is by ITU-R BS.1770-4. Other levels are RMS over all channels of `(channels, samples)`, second by second; a
second sounds from -60 dBFS up.
"""

import numpy as np
from scipy.stats import theilslopes

from bassbench.audio import SAMPLE_RATE, loudness
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.metric import ClipMetric, Scored

_SILENT_DB = -60.0


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


def second_levels(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """RMS of each whole second in dBFS, not below -200: `(seconds,)`.

    Raises:
        ValueError: see `validate_seconds`.
    """
    validate_seconds(audio)
    seconds = audio.shape[1] // sample_rate
    cut = audio[:, : seconds * sample_rate].reshape(len(audio), seconds, sample_rate)
    power = np.einsum("cst,cst->s", cut, cut, dtype=np.float64) / (len(audio) * sample_rate)
    return 10 * np.log10(np.maximum(power, 1e-20))


def level_drift(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> float:
    """Slope of the level over the seconds that sound, in dB a minute; NaN if fewer than four do.

    The slope is the median of those between all pairs of seconds (Sen 1968), so that a few rests do not turn it.

    Raises:
        ValueError: see `validate_seconds`.
    """
    levels = second_levels(audio, sample_rate=sample_rate)
    sounding = np.flatnonzero(levels > _SILENT_DB)
    if len(sounding) < 4:
        return float("nan")
    return 60 * float(theilslopes(levels[sounding], sounding)[0])


def sounding_share_by_quarter(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Share of the seconds of each quarter that sound, `(4,)`; NaN below four seconds.

    Raises:
        ValueError: see `validate_seconds`.
    """
    levels = second_levels(audio, sample_rate=sample_rate)
    if len(levels) < 4:
        return np.full(4, np.nan)
    return np.array([float(np.mean(quarter > _SILENT_DB)) for quarter in np.array_split(levels, 4)])


def validate_seconds(audio: np.ndarray) -> None:
    """Check the audio of a metric over its seconds.

    Raises:
        ValueError: not `(channels, samples)` with samples in it, NaN or Inf.
    """
    if audio.ndim != 2 or not audio.size or audio.shape[0] > audio.shape[1]:
        raise ValueError(f"expected audio (channels, samples), got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError("the audio holds NaN or Inf")


def _level_drift(scored: Scored) -> float:
    return level_drift(scored.bass)


def _sparsest_quarter(scored: Scored) -> float:
    return float(sounding_share_by_quarter(scored.bass).min())


METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("loudness against the real bass", "LU", "real", "ITU-R BS.1770-4; pyloudnorm", _loudness_difference),
    ClipMetric("voiced share against the real bass", "", "real", "YIN: de Cheveigne and Kawahara 2002", _voiced_ratio),
    ClipMetric("level drift", "dB/min", "real", "slope: Sen 1968, J. Am. Stat. Assoc. 63", _level_drift),
    ClipMetric("sound in the sparsest quarter", "", "real", "bassbench.metrics.level", _sparsest_quarter),
)
