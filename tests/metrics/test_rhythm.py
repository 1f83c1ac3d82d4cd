"""Rhythm: known answers on onsets made up for the purpose, mir_eval's own, and the ladder of damaged basses."""

import dataclasses

import mir_eval
import numpy as np
import pytest

from bassbench.hearing.onsets import OnsetEnvelope
from bassbench.metrics.metric import Scored
from bassbench.metrics.rhythm import (
    METRICS,
    density_ratio,
    drift_ms_per_minute,
    grid_lags,
    grid_share,
    median_lag_ms,
    onset_correlation,
    onset_f1,
    sixteenths,
)
from bassbench.songs.clips import load_clips
from bassbench.songs.render import Clip
from bassbench.suite.anchors import half_beat_late, other_song, semitone_up, silence

BEATS = tuple(np.arange(0, 24, 0.5))
GRID = sixteenths(BEATS, 24.0)
MEASURE = {metric.name: metric.measure for metric in METRICS}


def eighths(seed: int = 0, jitter: float = 0.005) -> np.ndarray:
    """Eighths at 120 BPM, a third of them left out, played by a person."""
    generator = np.random.default_rng(seed)
    times = np.arange(0.25, 23, 0.25)
    times = times[generator.random(len(times)) > 0.33]
    return np.sort(times + generator.normal(0, jitter, len(times)))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return load_clips("test", 4, progress=False)


def test_f1_is_that_of_mir_eval() -> None:
    true = np.array([0.5, 1.0, 1.5, 2.0])
    found = np.array([0.49, 1.04, 1.06, 1.7])
    assert onset_f1(found, true) == mir_eval.onset.f_measure(true, found)[0] == pytest.approx(0.5)
    assert onset_f1(true, true) == 1.0
    assert np.isnan(onset_f1(np.array([]), true)) and np.isnan(onset_f1(true, np.array([])))


def test_the_grid_follows_the_beats_and_goes_on_beyond_them() -> None:
    grid = sixteenths((1.0, 1.4, 2.0), 3.0)
    assert grid[0] <= 0 and grid[-1] >= 3
    assert {1.0, 1.1, 1.2, 1.3, 1.4, 1.55, 1.7, 1.85, 2.0} <= set(np.round(grid, 9))
    assert (np.diff(grid) > 0).all()
    assert np.abs(grid_lags(np.array([0.6, 2.45, 2.9]), grid)).max() < 1e-9
    with pytest.raises(ValueError, match="two beats"):
        sixteenths((1.0,), 3.0)


@pytest.mark.parametrize("late", [-0.03, 0.0, 0.02, 0.05])
def test_lag_is_found_with_its_sign(late: float) -> None:
    onsets = eighths() + late
    assert median_lag_ms(onsets, GRID) == pytest.approx(1000 * late, abs=3)
    assert grid_share(onsets, GRID) == pytest.approx(float(abs(late) < 0.04), abs=0.05)


@pytest.mark.parametrize("drift", [-500.0, -150.0, 0.0, 40.0, 150.0, 500.0])
@pytest.mark.parametrize("swing", [0.0, 1 / 12])
def test_drift_is_found_past_the_next_sixteenth_and_in_swing(drift: float, swing: float) -> None:
    onsets = eighths()
    offbeat = np.round(onsets / 0.25) % 2 == 1
    moved = onsets + swing * offbeat
    assert drift_ms_per_minute(moved * (1 + drift / 60_000), GRID) == pytest.approx(drift, abs=40)


def test_one_stray_note_changes_neither_lag_nor_drift_much() -> None:
    onsets = eighths()
    stray = np.sort(np.append(onsets, 11.31))
    assert median_lag_ms(stray, GRID) == pytest.approx(median_lag_ms(onsets, GRID), abs=1)
    assert drift_ms_per_minute(stray, GRID) == pytest.approx(drift_ms_per_minute(onsets, GRID), abs=5)


def test_double_and_half_time_are_an_octave() -> None:
    times = np.arange(0, 20, 0.5)
    assert density_ratio(np.arange(0, 20, 0.25), times) == 1.0
    assert density_ratio(times[::2], times) == -1.0
    assert np.isnan(density_ratio(np.array([]), times))


def test_too_few_onsets_have_no_lag() -> None:
    few = np.array([0.5, 1.0, 1.5])
    assert np.isnan(median_lag_ms(few, GRID)) and np.isnan(drift_ms_per_minute(few, GRID))
    assert np.isnan(grid_share(np.array([]), GRID))


def test_broken_onsets_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        onset_f1(np.array([2.0, 1.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="finite"):
        grid_lags(np.array([np.nan]), GRID)
    envelopes = [OnsetEnvelope(np.arange(n) * 0.0058, np.ones(n)) for n in (100, 101)]
    with pytest.raises(ValueError, match="100 with 101"):
        onset_correlation(*envelopes)
    assert np.isnan(onset_correlation(envelopes[0], envelopes[0]))


def test_the_ladder_of_damaged_basses_is_ranked(clips: list[Clip]) -> None:
    def score(name: str, anchor: object) -> np.ndarray:
        basses = [anchor(clip, clips[(i + 1) % len(clips)], i) for i, clip in enumerate(clips)]  # type: ignore[operator]
        return np.array([MEASURE[name](Scored(clip, bass)) for clip, bass in zip(clips, basses, strict=True)])

    def real(clip: Clip, other: Clip, seed: int) -> np.ndarray:
        return clip.bass

    for name, best in (("onset F1", 0.9), ("onset correlation", 0.999)):
        assert score(name, real).mean() > best
        assert score(name, semitone_up).mean() > 0.75
        assert score(name, half_beat_late).mean() < 0.6
        assert score(name, other_song).mean() < 0.6
    assert np.abs(score("onset density against the real bass", half_beat_late)).max() < 0.2
    assert score("onsets on the grid", real).mean() > 0.6


def test_silence_and_unknown_beats_are_not_scored(clips: list[Clip]) -> None:
    clip = clips[0]
    assert all(np.isnan(measure(Scored(clip, silence(clip, clip, 0)))) for measure in MEASURE.values())
    unknown = Scored(dataclasses.replace(clip, beats=(), downbeats=(), bass_notes=()), clip.bass)
    values = {name: measure(unknown) for name, measure in MEASURE.items()}
    assert {name for name, value in values.items() if np.isnan(value)} == {"onsets on the grid", "onset lag", "drift"}
    assert values["onset F1"] == 1.0
