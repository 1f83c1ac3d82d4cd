"""Level against the real bass: known differences, and what silence gives."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.level import METRICS, loudness_difference
from bassbench.metrics.metric import Scored
from bassbench.songs.render import Clip, render_clip
from bassbench.songs.song_bank import Song

LOUDNESS, VOICED = (metric.measure for metric in METRICS)


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
