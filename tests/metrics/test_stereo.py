"""Stereo: decibels by hand on tones, and a rendered bass that is safer than one with its channels set against."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.metric import Scored
from bassbench.metrics.stereo import METRICS, fold_down_loss_db, side_to_mid_db
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Song

TIME = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
LOW, HIGH = (0.2 * np.sin(2 * np.pi * hertz * TIME).astype(np.float32) for hertz in (60, 1000))


@pytest.fixture(scope="module")
def clip(song: Song) -> Clip:
    return cached_clip(ClipRequest(song, 5))


def test_tones_by_hand() -> None:
    # Left 1, right 1/2: mid 3/4, side 1/4.
    assert side_to_mid_db(np.stack([LOW, LOW / 2])) == pytest.approx(20 * np.log10(1 / 3), abs=1e-4)
    assert fold_down_loss_db(np.stack([LOW, LOW / 2])) == pytest.approx(10 * np.log10(0.625 / 0.5625), abs=1e-4)
    assert fold_down_loss_db(np.stack([LOW, 0 * LOW])) == pytest.approx(10 * np.log10(2), abs=1e-6)
    assert fold_down_loss_db(np.stack([LOW, HIGH])) == pytest.approx(10 * np.log10(2), abs=1e-3)


def test_ends_of_the_scale() -> None:
    assert (side_to_mid_db(np.stack([LOW, LOW])), fold_down_loss_db(np.stack([LOW, LOW]))) == (-120, 0)
    assert (side_to_mid_db(np.stack([LOW, -LOW])), fold_down_loss_db(np.stack([LOW, -LOW]))) == (120, 120)


def test_only_what_lies_below_the_limit_counts() -> None:
    wide_top = np.stack([LOW + HIGH, LOW - HIGH])
    assert side_to_mid_db(wide_top) < -60
    assert side_to_mid_db(wide_top, below=2000) == pytest.approx(0, abs=0.01)
    assert np.isnan(side_to_mid_db(np.stack([HIGH, -HIGH])))


def test_level_and_channel_order_do_not_matter() -> None:
    audio = np.stack([LOW + HIGH, 0.7 * LOW])
    for measure in (side_to_mid_db, fold_down_loss_db):
        assert measure(audio) == pytest.approx(measure(audio[::-1] / 4), abs=1e-4)


def test_a_rendered_bass_is_safer_than_one_out_of_phase(clip: Clip) -> None:
    out_of_phase = clip.bass * np.array([[1], [-0.8]], dtype=np.float32)
    for metric in METRICS:
        real, broken, mono, silent = (
            metric.measure(Scored(clip, bass))
            for bass in (clip.bass, out_of_phase, np.tile(clip.bass[:1], (2, 1)), np.zeros_like(clip.bass))
        )
        assert mono <= real < broken and np.isnan(silent), metric.name


@pytest.mark.parametrize("measure", [side_to_mid_db, fold_down_loss_db])
@pytest.mark.parametrize("audio", [np.zeros((1, 9)), np.zeros((2, 0)), np.zeros(9), np.full((2, 9), np.nan)])
def test_bad_input_is_refused(measure, audio: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(2, samples\)|NaN"):
        measure(audio)


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_short_audio_is_judged_too(samples: int) -> None:
    assert fold_down_loss_db(np.ones((2, samples))) == 0
    assert np.isnan(side_to_mid_db(np.ones((2, samples)))) or side_to_mid_db(np.ones((2, samples))) == -120
