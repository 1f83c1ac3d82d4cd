"""Does the bass keep time?  Conventions: times in seconds, onsets ascending, lags positive when the bass is late.

Onsets are the starts of the notes that `bassbench.hearing.transcription` hears, of the real bass too, unless its notes
are known. The grid is the sixteenths of the beats: each beat in four, equally. Swung notes fall off it, in the real
bass as well, so what is measured on the grid is best where the real bass is.
"""

from collections.abc import Callable, Sequence

import mir_eval
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import theilslopes

from bassbench.hearing.onsets import OnsetEnvelope, onset_envelope
from bassbench.hearing.transcription import transcribe
from bassbench.metrics.metric import ClipMetric, Scored

TOLERANCE = 0.05
GRID_TOLERANCE = 0.04
FRAME = 0.023
_FEWEST_FOR_LAG = 4
_FEWEST_FOR_DRIFT = 8
_PAIR_SECONDS = 4.0


def onset_f1(onsets: np.ndarray, true: np.ndarray) -> float:
    """F1 of onsets `(n,)` against the true ones, matched one to one within 50 ms (mir_eval); NaN if either has none.

    Raises:
        ValueError: see `validate`.
    """
    validate(onsets, true)
    if not len(onsets) or not len(true):
        return float("nan")
    return float(mir_eval.onset.f_measure(true, onsets, window=TOLERANCE)[0])


def sixteenths(beats: Sequence[float], seconds: float) -> np.ndarray:
    """Every sixteenth from 0 to `seconds`, ascending; the beats at either end go on at their own spacing.

    Raises:
        ValueError: fewer than two beats, or beats that do not ascend.
    """
    times = np.asarray(beats, dtype=float)
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError("a grid takes two beats or more, ascending")
    first, last = times[1] - times[0], times[-1] - times[-2]
    before = times[0] - first * np.arange(int(np.ceil(max(times[0], 0) / first)) + 1, 0, -1)
    after = times[-1] + last * np.arange(1, int(np.ceil(max(seconds - times[-1], 0) / last)) + 2)
    times = np.concatenate([before, times, after])
    return np.interp(np.arange(4 * len(times) - 3) / 4, np.arange(len(times)), times)


def grid_lags(onsets: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Seconds from the nearest time of the ascending grid to each onset, `(n,)`.

    Raises:
        ValueError: see `validate`.
    """
    validate(onsets, grid)
    after = np.clip(np.searchsorted(grid, onsets), 1, len(grid) - 1)
    nearest = np.where(onsets - grid[after - 1] < grid[after] - onsets, after - 1, after)
    return onsets - grid[nearest]


def grid_share(onsets: np.ndarray, grid: np.ndarray) -> float:
    """Share of onsets within 40 ms of the grid; NaN without onsets. At 150 BPM chance reaches 0.8, at 80 BPM 0.43."""
    return float((np.abs(grid_lags(onsets, grid)) <= GRID_TOLERANCE).mean()) if len(onsets) else float("nan")


def median_lag_ms(onsets: np.ndarray, grid: np.ndarray) -> float:
    """Median lag behind the nearest time of the grid, in ms; NaN with fewer than four onsets."""
    return float(1000 * np.median(grid_lags(onsets, grid))) if len(onsets) >= _FEWEST_FOR_LAG else float("nan")


def drift_ms_per_minute(onsets: np.ndarray, grid: np.ndarray) -> float:
    """How fast the lag behind the grid grows, in ms a minute; NaN with fewer than eight onsets.

    A drifting bass passes from one sixteenth to the next. So the slope is first read from pairs of onsets at most 4 s
    apart, with differences of lag taken within half a sixteenth, and after it is taken out by Theil and Sen's
    estimator (Sen 1968) from all pairs. Half a sixteenth in 4 s is the most that can be followed: 800 ms a minute at
    140 BPM.
    """
    if len(onsets) < _FEWEST_FOR_DRIFT:
        return float("nan")
    period = float(np.median(np.diff(grid)))
    lags = grid_lags(onsets, grid)
    early, late = np.triu_indices(len(onsets), 1)
    gaps = onsets[late] - onsets[early]
    close = (gaps <= _PAIR_SECONDS) & (gaps >= _PAIR_SECONDS / 4)
    slope = 0.0
    if close.any():
        slope = float(np.median(_wrapped(lags[late] - lags[early], period)[close] / gaps[close]))
    left = lags - slope * onsets
    # The circular mean is far from where the remaining lags wrap.
    middle = float(np.angle(np.exp(2j * np.pi * left / period).mean())) * period / (2 * np.pi)
    rest = theilslopes(_wrapped(left - middle, period), onsets)[0]
    return 60_000 * (slope + float(rest))


def density_ratio(onsets: np.ndarray, true: np.ndarray) -> float:
    """log2 of the number of onsets to the true number: 1 for double time, -1 for half; NaN if either has none."""
    validate(onsets, true)
    return float(np.log2(len(onsets) / len(true))) if len(onsets) and len(true) else float("nan")


def onset_correlation(envelope: OnsetEnvelope, real: OnsetEnvelope) -> float:
    """Pearson correlation of two onset strengths in frames of 23 ms, smoothed by one frame; NaN if either is flat.

    Raises:
        ValueError: the envelopes differ in length.
    """
    if len(envelope.strength) != len(real.strength):
        raise ValueError(f"cannot correlate {len(envelope.strength)} with {len(real.strength)} frames")
    ours, theirs = _coarse(envelope), _coarse(real)
    if not len(ours) or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])


def validate(onsets: np.ndarray, other: np.ndarray) -> None:
    """Check the input of this module's metrics.

    Raises:
        ValueError: times that are not finite, one-dimensional and ascending.
    """
    for times in (onsets, other):
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise ValueError("expected onset times (n,), finite and ascending")


def _wrapped(lags: np.ndarray, period: float) -> np.ndarray:
    return (lags + period / 2) % period - period / 2


def _coarse(envelope: OnsetEnvelope) -> np.ndarray:
    step = float(envelope.times[1] - envelope.times[0]) if len(envelope.times) > 1 else FRAME
    per_frame = max(round(FRAME / step), 1)
    whole = len(envelope.strength) // per_frame * per_frame
    return gaussian_filter1d(envelope.strength[:whole].reshape(-1, per_frame).mean(axis=1), 1.0)


def heard_onsets(audio: np.ndarray) -> np.ndarray:
    """Starts of the notes heard in a bass `(channels, samples)` at 44.1 kHz."""
    return np.array([note.start for note in transcribe(audio)])


def true_onsets(scored: Scored) -> np.ndarray:
    """Onsets of the real bass: of its notes where they are known, else as heard."""
    clip = scored.clip
    if not clip.bass_notes:
        return heard_onsets(clip.bass)
    return np.array(sorted(note.start for note in clip.bass_notes if note.start < clip.seconds - TOLERANCE))


def _f1(scored: Scored) -> float:
    return onset_f1(heard_onsets(scored.bass), true_onsets(scored))


def _density(scored: Scored) -> float:
    return density_ratio(heard_onsets(scored.bass), heard_onsets(scored.clip.bass))


def _correlation(scored: Scored) -> float:
    return onset_correlation(onset_envelope(scored.bass), onset_envelope(scored.clip.bass))


def _on_grid(measure: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Scored], float]:
    """A metric of the onsets heard against the sixteenths of the clip, NaN where its beats are unknown."""

    def of_clip(scored: Scored) -> float:
        if len(scored.clip.beats) < 2:
            return float("nan")
        return measure(heard_onsets(scored.bass), sixteenths(scored.clip.beats, scored.clip.seconds))

    return of_clip


_MIR_EVAL = "mir_eval: Raffel et al. 2014"
_FLUX = "spectral flux: Boeck, Krebs and Schedl 2012"
METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("onset F1", "", "higher", _MIR_EVAL, _f1),
    ClipMetric("onsets on the grid", "", "real", _FLUX, _on_grid(grid_share)),
    ClipMetric("onset lag", "ms", "real", _FLUX, _on_grid(median_lag_ms)),
    ClipMetric("drift", "ms/min", "real", "Sen 1968", _on_grid(drift_ms_per_minute)),
    ClipMetric("onset density against the real bass", "octaves", "real", _FLUX, _density),
    ClipMetric("onset correlation", "", "higher", _FLUX, _correlation),
)
