"""The scoring path: bad input, silence, lengths, windows, invariances."""

import warnings

import numpy as np
import pytest
import torch

from bassbench.errors import BadInputError
from bassbench.songs.render import render_clip
from bassbench.songs.song_bank import Song
from bassbench.suite.anchors import semitone_up
from contrastive.config import MATCHERS
from contrastive.encoder import Matcher
from contrastive.scoring import SILENT, WEIGHTS, score, window_starts

RATE = 44_100


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    torch.manual_seed(0)
    return Matcher(MATCHERS["tiny"].sizes).eval()


def _clips(count: int, seconds: float = 6.0, seed: int = 0) -> np.ndarray:
    """Random notes, so that clips differ."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    hz = np.repeat(generator.uniform(40, 200, (count, 40)), -(-len(times) // 40), axis=1)[:, : len(times)]
    return np.repeat(0.2 * np.sin(2 * np.pi * hz * times)[:, None], 2, axis=1).astype(np.float32)


def test_every_mix_with_every_bass(matcher: Matcher) -> None:
    scores = score(_clips(2), _clips(3, seed=1), matcher=matcher)
    assert scores.shape == (2, 3) and scores.dtype == np.float32
    assert np.isfinite(scores).all() and np.abs(scores).max() <= 1
    alone = score(_clips(2)[1:], _clips(3, seed=1)[2:], matcher=matcher)
    assert alone[0, 0] == pytest.approx(scores[1, 2], abs=1e-5)


def test_neither_level_nor_rate_nor_width_matters(matcher: Matcher) -> None:
    mix, bass = _clips(1), _clips(2, seed=1)
    base = score(mix, bass, matcher=matcher)
    np.testing.assert_allclose(score(0.1 * mix, 3 * bass, matcher=matcher), base, atol=0.01)
    np.testing.assert_allclose(score(mix[:, :1], [bass[0, :1], bass[1]], matcher=matcher), base, atol=0.01)
    double = [np.repeat(clips, 2, axis=2) for clips in (mix, bass)]
    assert score(*double, sample_rate=2 * RATE, matcher=matcher).shape == (1, 2)


def test_silence_has_the_lowest_score_and_a_warning(matcher: Matcher) -> None:
    mix, bass = _clips(2), _clips(2, seed=1)
    base = score(mix, bass, matcher=matcher)
    bass[1] = 0
    with pytest.warns(UserWarning, match="1 of 4 clips are silent"):
        scores = score(mix, bass, matcher=matcher)
    assert (scores[:, 1] == SILENT).all() and np.allclose(scores[:, 0], base[:, 0], atol=1e-6)
    with pytest.warns(UserWarning, match="4 of 4"):
        assert (score(0 * mix, 0 * bass, matcher=matcher) == SILENT).all()


def test_different_lengths_are_cropped_to_the_common_part_and_it_is_said(matcher: Matcher) -> None:
    mix, bass = _clips(1, 7.0), _clips(1, seed=1)
    with pytest.warns(UserWarning, match=r"only the first 6\.00 s"):
        scores = score(mix, bass, matcher=matcher)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scores == pytest.approx(score(mix[..., : bass.shape[2]], bass, matcher=matcher), abs=1e-6)


def test_bad_input_is_refused(matcher: Matcher) -> None:
    good, broken = _clips(1), _clips(1)
    broken[0, 0, 7] = np.nan
    for mixes, basses, message in (
        (_clips(1, 4.9), good, "mix 0: 4.90 s long; at least 5 s"),
        (good, broken, "bass 0: the audio holds NaN"),
        (good, good[0], "expected .1 or 2 channels"),
        (good, [], "no bass"),
        (good, np.zeros((1, 6, 6 * RATE)), "expected .1 or 2 channels"),
    ):
        with pytest.raises(BadInputError, match=message):
            score(mixes, basses, matcher=matcher)


def test_a_long_clip_is_the_mean_over_its_windows(matcher: Matcher) -> None:
    mix, bass = _clips(1, 24.1), _clips(1, 24.1, seed=1)
    assert score(mix, bass, matcher=matcher).shape == (1, 1)
    assert window_starts(150, 360) == [0]
    assert window_starts(360, 360) == [0]
    assert window_starts(361, 360) == [0, 1]
    assert window_starts(1000, 360) == [0, 320, 640]


def test_a_training_matcher_is_scored_without_dropout_and_left_in_training() -> None:
    torch.manual_seed(0)
    matcher = Matcher(MATCHERS["tiny"].sizes).train()
    first = score(_clips(1), _clips(1, seed=1), matcher=matcher)
    assert first == score(_clips(1), _clips(1, seed=1), matcher=matcher)
    assert matcher.mix_tower.training and matcher.bass_tower.training


def test_the_shipped_weights_know_a_semitone_and_half_a_bar(song: Song) -> None:
    assert WEIGHTS.stat().st_size < 8_000_000
    clip = render_clip(song, 0, samples=12 * RATE, vary=False)
    up = semitone_up(clip, clip, 0)
    late = np.roll(clip.bass, RATE, axis=1)
    scores = score([clip.mix], [clip.bass, up, late])[0]
    assert scores[0] > scores[1] + 0.1 and scores[0] > scores[2] + 0.1
