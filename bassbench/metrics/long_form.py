"""Does a long bass hold up to its end?  Level over time, where it sounds, and whether window seams are heard.

Conventions: audio `(channels, samples)`, seams in samples. Levels are RMS over all channels, second by second; a
second sounds from -60 dBFS up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.metric import ClipMetric, Scored

_SILENT_DB = -60.0
_STEP = 441  # 10 ms: the grid of places that a seam is compared with
_WINDOW = 2048  # 46 ms of spectrum on each side of a place
_FLOOR = 1e-8  # spectra end 80 dB below the loudest
_CLEAR = 10  # steps round a seam that are left out of the comparison
_BLOCK = 4096


@dataclass(frozen=True)
class SeamAudibility:
    """How seams stand out from the rest of the same audio: each number is an AUC.

    The chance that a seam has a stronger click (`click`) or a larger change of spectrum (`spectrum`) than a place
    without a seam: 0.5 if seams are like any other place, 1 if each stands out. NaN without seams or sound.
    """

    click: float
    spectrum: float
    seams: int


def second_levels(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """RMS of each whole second in dBFS, not below -200: `(seconds,)`.

    Raises:
        ValueError: see `validate`.
    """
    validate(audio)
    seconds = audio.shape[1] // sample_rate
    cut = audio[:, : seconds * sample_rate].reshape(len(audio), seconds, sample_rate)
    power = np.einsum("cst,cst->s", cut, cut, dtype=np.float64) / (len(audio) * sample_rate)
    return 10 * np.log10(np.maximum(power, 1e-20))


def level_drift(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> float:
    """Slope of the level over the seconds that sound, in dB a minute; NaN if fewer than four do.

    The slope is the median of those between all pairs of seconds (Sen 1968), so that a few rests do not turn it.

    Raises:
        ValueError: see `validate`.
    """
    levels = second_levels(audio, sample_rate=sample_rate)
    sounding = np.flatnonzero(levels > _SILENT_DB)
    if len(sounding) < 4:
        return float("nan")
    return 60 * float(theilslopes(levels[sounding], sounding)[0])


def sounding_share_by_quarter(audio: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Share of the seconds of each quarter that sound, `(4,)`; NaN below four seconds.

    Raises:
        ValueError: see `validate`.
    """
    levels = second_levels(audio, sample_rate=sample_rate)
    if len(levels) < 4:
        return np.full(4, np.nan)
    return np.array([float(np.mean(quarter > _SILENT_DB)) for quarter in np.array_split(levels, 4)])


def seam_audibility(audio: np.ndarray, seams: Sequence[int]) -> SeamAudibility:
    """Compare the places where windows were joined with all other places of the audio, every 10 ms.

    A click is the largest second difference of the waveform within 15 ms of a place; the change of spectrum is the
    root mean square difference of the log spectra of the 46 ms before and after it. Places within 100 ms of a seam
    are left out of the comparison. Onsets change the spectrum everywhere, so a seam is judged against them.

    Raises:
        ValueError: see `validate`; a seam outside the audio, or so many that no place is left to compare with.
    """
    validate(audio)
    places = np.asarray(seams, dtype=np.int64)
    if len(places) and not (places.min() > 0 and places.max() < audio.shape[1]):
        raise ValueError(f"seams must lie inside the audio of {audio.shape[1]} samples, got {places.tolist()}")
    if not len(places) or not np.abs(audio).max() > 10 ** (_SILENT_DB / 20):
        return SeamAudibility(float("nan"), float("nan"), len(places))
    grid = np.arange(_STEP, audio.shape[1] - _STEP, _STEP)
    clear = np.ones(len(grid), dtype=bool)
    for place in places:
        clear[slice(*np.searchsorted(grid, [place - _CLEAR * _STEP, place + _CLEAR * _STEP + 1]))] = False
    others = grid[clear]
    if not len(others):
        raise ValueError("seams leave no other place in the audio to compare them with")
    return SeamAudibility(
        click=_auc(_clicks(audio, places), _clicks(audio, others)),
        spectrum=_auc(_spectral_changes(audio, places), _spectral_changes(audio, others)),
        seams=len(places),
    )


def validate(audio: np.ndarray) -> None:
    """Check the input of this module's metrics.

    Raises:
        ValueError: not `(channels, samples)` with samples in it, NaN or Inf.
    """
    if audio.ndim != 2 or not audio.size or audio.shape[0] > audio.shape[1]:
        raise ValueError(f"expected audio (channels, samples), got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError("the audio holds NaN or Inf")


def _clicks(audio: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Largest second difference of any channel within 1.5 steps of each place, `(places,)`."""
    reach = _STEP + _STEP // 2
    bend = np.pad(np.abs(np.diff(audio, n=2, axis=1)).max(axis=0), (reach, reach + 2))
    around = np.lib.stride_tricks.sliding_window_view(bend, 2 * reach)
    return np.concatenate([around[places[i : i + _BLOCK]].max(axis=1) for i in range(0, len(places), _BLOCK)])


def _spectral_changes(audio: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Difference of the log spectra before and after each place in dB, `(places,)`."""
    mono = np.pad(audio.mean(axis=0), _WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(mono, _WINDOW)
    hann = np.hanning(_WINDOW)
    # A sine at the audio's peak: the same floor for all places, whichever are asked for.
    floor = _FLOOR * (np.abs(mono).max() * hann.sum() / 2) ** 2
    changes = []
    for start in range(0, len(places), _BLOCK // 8):
        at = places[start : start + _BLOCK // 8]
        before, after = (
            10 * np.log10(np.maximum(np.abs(np.fft.rfft(windows[i] * hann)) ** 2, floor)) for i in (at, at + _WINDOW)
        )
        changes.append(np.sqrt(np.mean((after - before) ** 2, axis=1)))
    return np.concatenate(changes)


def _auc(seams: np.ndarray, others: np.ndarray) -> float:
    """Chance that one of `seams` exceeds one of `others`, ties half."""
    ranked = np.sort(others)
    below, not_above = (np.searchsorted(ranked, seams, side=side) for side in ("left", "right"))
    return float(np.mean(below + not_above) / (2 * len(ranked)))


def _level_drift(scored: Scored) -> float:
    return level_drift(scored.bass)


def _sparsest_quarter(scored: Scored) -> float:
    return float(sounding_share_by_quarter(scored.bass).min())


METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("level drift", "dB/min", "real", "slope: Sen 1968, J. Am. Stat. Assoc. 63", _level_drift),
    ClipMetric("sound in the sparsest quarter", "", "real", "bassbench.metrics.long_form", _sparsest_quarter),
)
