"""The style test: distances by hand, anchors of other songs, and real basses nearer to their own sound than noise."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from bassbench.errors import BadInputError
from bassbench.metrics.metric import Scored
from bassbench.metrics.style import METRICS, clip_embedding, cosine_distances, euclidean_distances, style_test
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Song
from bassbench.suite import anchors as baselines

STYLE = np.random.default_rng(0).standard_normal((12, 5)) + 1


def _test(generated: np.ndarray, seed: int = 0):
    return style_test(STYLE, generated, generator=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def clip(song: Song) -> Clip:
    return cached_clip(ClipRequest(song, 5))


def test_distances_equal_scipy() -> None:
    generated = np.random.default_rng(1).standard_normal((12, 5))
    np.testing.assert_allclose(cosine_distances(STYLE, generated), cdist(STYLE, generated, "cosine"), atol=1e-12)
    np.testing.assert_allclose(euclidean_distances(STYLE, generated), cdist(STYLE, generated), atol=1e-12)


def test_distances_by_hand() -> None:
    assert cosine_distances(np.array([[3.0, 0]]), np.array([[2.0, 2.0]]))[0, 0] == pytest.approx(1 - np.sqrt(0.5))
    assert euclidean_distances(np.array([[3.0, 0]]), np.array([[0.0, 4.0]]))[0, 0] == 5
    np.testing.assert_array_equal(clip_embedding(np.array([[1.0, 2.0], [3.0, 6.0]])), [2.0, 4.0])


def test_means_are_of_the_song_and_of_all_others() -> None:
    generated = np.random.default_rng(1).standard_normal((12, 5))
    result, cosine = _test(generated), cdist(STYLE, generated, "cosine")
    others = [np.mean([cosine[i, j] for i in range(12) if i != j]) for j in range(12)]
    farther = [np.mean([cosine[i, j] > cosine[j, j] for i in range(12) if i != j]) for j in range(12)]
    assert result.cosine.value == pytest.approx(np.diag(cosine).mean())
    assert result.other_cosine.value == pytest.approx(np.mean(others))
    assert result.recognised.value == pytest.approx(np.mean(farther))
    assert result.euclidean.value == pytest.approx(np.diag(cdist(STYLE, generated)).mean())
    assert result.cosine.low < result.cosine.value < result.cosine.high


def test_copies_are_recognised_and_one_sound_for_all_is_not() -> None:
    copied = _test(STYLE)
    assert copied.cosine.value == pytest.approx(0, abs=1e-12) and copied.euclidean.value == 0
    assert copied.recognised.value == 1 and copied.other_cosine.value > 0.1
    deaf = _test(np.tile(STYLE[:1], (12, 1)))
    assert deaf.recognised.value == pytest.approx(0.5)
    assert deaf.cosine.value == pytest.approx(deaf.other_cosine.value)


def test_seeded_and_undefined_input() -> None:
    assert _test(STYLE + 1) == _test(STYLE + 1)
    for generated, message in (
        (STYLE[:3], "alike"),
        (STYLE * np.nan, "NaN"),
        (STYLE * 0, "length 0"),
    ):
        with pytest.raises(BadInputError, match=message):
            _test(generated)
    with pytest.raises(BadInputError, match="two songs"):
        style_test(STYLE[:1], STYLE[:1], generator=np.random.default_rng(0))
    with pytest.raises(BadInputError, match="one window"):
        clip_embedding(np.empty((0, 5)))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_bass_is_nearer_to_its_own_sound_than_noise_is(clip: Clip, metric) -> None:
    half = clip.bass.shape[1] // 2
    style, rest = clip.bass[:, :half], clip.bass[:, half:]
    noise = baselines.noise(dataclasses.replace(clip, bass=rest), clip, 0)
    assert metric.direction == "lower"
    assert metric.measure(Scored(clip, style, style)) == pytest.approx(0, abs=1e-4)
    own, other = (metric.measure(Scored(clip, bass, style)) for bass in (rest, noise))
    assert 0 < own < other


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_without_a_style_or_sound_there_is_no_distance(clip: Clip, metric) -> None:
    silence = np.zeros_like(clip.bass)
    for bass, style in ((clip.bass, None), (silence, clip.bass), (clip.bass, silence)):
        assert np.isnan(metric.measure(Scored(clip, bass, style)))
