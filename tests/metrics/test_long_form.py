"""Long form: drifts and rests by construction."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.long_form import METRICS, level_drift, second_levels, sounding_share_by_quarter
from bassbench.metrics.metric import Scored
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Song


def _noise(seconds: float, seed: int = 0) -> np.ndarray:
    samples = round(seconds * SAMPLE_RATE)
    return 0.1 * np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def clip(song: Song) -> Clip:
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


def test_a_bass_that_fades_out_or_stops_is_found(clip: Clip) -> None:
    samples = clip.bass.shape[1]
    fading = clip.bass * np.logspace(0, -1, samples, dtype=np.float32)  # 20 dB in 23.8 s
    stopping = clip.bass * (np.arange(samples) < 0.6 * samples)
    drift, sparsest = (
        [metric.measure(Scored(clip, bass)) for bass in (clip.bass, fading, stopping)] for metric in METRICS
    )
    assert abs(drift[0]) < 15 and drift[1] == pytest.approx(drift[0] - 50.5, abs=5)
    assert sparsest[0] == sparsest[1] == 1 and sparsest[2] == 0
    silence = Scored(clip, np.zeros_like(clip.bass))
    assert np.isnan(METRICS[0].measure(silence)) and METRICS[1].measure(silence) == 0


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
