"""Level against the real bass and over time: known differences, drifts and rests, and what silence gives."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.level import METRICS, level_drift, loudness_difference, second_levels, sounding_share_by_quarter
from bassbench.metrics.metric import Scored
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip, render_clip
from bassbench.songs.song_bank import Song

LOUDNESS, VOICED, DRIFT, SPARSEST = (metric.measure for metric in METRICS)


@pytest.fixture(scope="module")
def clip(song: Song) -> Clip:
    return render_clip(song, 0, samples=6 * SAMPLE_RATE, start=0.0)


def test_known_differences(clip: Clip) -> None:
    assert LOUDNESS(Scored(clip, clip.bass)) == 0
    assert LOUDNESS(Scored(clip, clip.bass / 2)) == pytest.approx(-6.02, abs=0.01)
    assert VOICED(Scored(clip, clip.bass)) == 1
    assert VOICED(Scored(clip, clip.bass / 2)) == 1
    half = np.where(np.arange(clip.bass.shape[1]) < clip.bass.shape[1] // 2, clip.bass, 0)
    assert VOICED(Scored(clip, half)) == pytest.approx(0.5, abs=0.1)


def test_silence(clip: Clip) -> None:
    silent = np.zeros_like(clip.bass)
    assert np.isnan(LOUDNESS(Scored(clip, silent)))
    assert VOICED(Scored(clip, silent)) == 0
    mute = Clip(**{**vars(clip), "bass": silent})
    assert np.isnan(LOUDNESS(Scored(mute, clip.bass))) and np.isnan(VOICED(Scored(mute, clip.bass)))


def test_broken_audio_is_refused(clip: Clip) -> None:
    with pytest.raises(ValueError, match="NaN"):
        loudness_difference(np.full((2, 10), np.nan), clip.bass)
    with pytest.raises(ValueError, match="shape"):
        loudness_difference(clip.bass[0], clip.bass)


def _noise(seconds: float, seed: int = 0) -> np.ndarray:
    samples = round(seconds * SAMPLE_RATE)
    return 0.1 * np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def long_clip(song: Song) -> Clip:
    return cached_clip(ClipRequest(song, 5))


def test_levels_by_hand() -> None:
    audio = np.concatenate([np.full((2, SAMPLE_RATE), 0.1), np.zeros((2, SAMPLE_RATE)), np.ones((2, 99))], axis=1)
    np.testing.assert_allclose(second_levels(audio), [-20, -200], atol=1e-9)


@pytest.mark.parametrize("slope", [-12.0, 0.0, 6.0])
def test_drift_is_found_whatever_the_rests(slope: float) -> None:
    audio = _noise(20)
    audio *= 10 ** (slope * np.arange(audio.shape[1]) / (60 * SAMPLE_RATE) / 20)
    assert level_drift(audio) == pytest.approx(slope, abs=0.1)
    audio[:, 5 * SAMPLE_RATE : 8 * SAMPLE_RATE] = 0
    audio[:, 12 * SAMPLE_RATE : 13 * SAMPLE_RATE] *= 0.05
    assert level_drift(audio) == pytest.approx(slope, abs=0.5)


def test_quarters_by_hand() -> None:
    audio = _noise(8)
    audio[:, 2 * SAMPLE_RATE : 3 * SAMPLE_RATE] = 0
    audio[:, 6 * SAMPLE_RATE :] = 0
    np.testing.assert_array_equal(sounding_share_by_quarter(audio), [1, 0.5, 1, 0])
    assert np.isnan(sounding_share_by_quarter(_noise(3))).all()


def test_a_bass_that_fades_out_or_stops_is_found(long_clip: Clip) -> None:
    samples = long_clip.bass.shape[1]
    fading = long_clip.bass * np.logspace(0, -1, samples, dtype=np.float32)  # 20 dB in 23.8 s
    stopping = long_clip.bass * (np.arange(samples) < 0.6 * samples)
    drift, sparsest = (
        [measure(Scored(long_clip, bass)) for bass in (long_clip.bass, fading, stopping)]
        for measure in (DRIFT, SPARSEST)
    )
    assert abs(drift[0]) < 15 and drift[1] == pytest.approx(drift[0] - 50.5, abs=5)
    assert sparsest[0] == sparsest[1] == 1 and sparsest[2] == 0
    silence = Scored(long_clip, np.zeros_like(long_clip.bass))
    assert np.isnan(DRIFT(silence)) and SPARSEST(silence) == 0


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: second_levels(np.zeros(9)), "channels, samples"),
        (lambda: level_drift(np.full((2, 9), np.nan)), "NaN"),
    ],
)
def test_bad_input_is_refused(act, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()
