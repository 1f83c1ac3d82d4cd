"""Anchors: each is what its name says, of the clip's length, and seeded; intervals of means cover what they should."""

import dataclasses

import numpy as np
import pytest
from valid_audio import assert_audio_valid

from bassbench.audio import SAMPLE_RATE, loudness
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.harmony import chord_tone_share
from bassbench.metrics.statistics import mean_interval
from bassbench.songs.render import Clip, render_clip
from bassbench.songs.song_bank import Song
from bassbench.suite.anchors import anchors, derangement, half_beat_late, noise, semitone_up
from bassbench.suite.systems import Accompanist

SAMPLES = 6 * SAMPLE_RATE


@pytest.fixture(scope="module")
def clips(song: Song) -> tuple[Clip, Clip]:
    return render_clip(song, 0, samples=SAMPLES, start=0.0), render_clip(song, 1, samples=SAMPLES, start=2.0)


def test_every_anchor_stands_in_for_a_bass(clips: tuple[Clip, Clip]) -> None:
    ladder = anchors(lambda audio: 0.5 * audio)
    assert list(ladder) == [
        "real bass",
        "real bass through the codec",
        "bass of another song",
        "shifted by half a beat",
        "up a semitone",
        "silence",
        "noise",
    ]
    for name, anchor in ladder.items():
        audio = anchor(*clips, 3)
        assert audio.dtype == np.float32
        np.testing.assert_array_equal(audio, anchor(*clips, 3))
        if name == "silence":
            assert audio.shape == (2, SAMPLES) and not audio.any()
        else:
            assert_audio_valid(audio, samples=SAMPLES)
    np.testing.assert_array_equal(ladder["bass of another song"](*clips, 0), clips[1].bass)
    np.testing.assert_array_equal(ladder["real bass through the codec"](*clips, 0), 0.5 * clips[0].bass)
    assert "real bass through the codec" not in anchors()


def test_half_a_beat_is_a_quarter_of_a_second_at_120(clips: tuple[Clip, Clip]) -> None:
    late = half_beat_late(*clips, 0)
    np.testing.assert_array_equal(late[:, 11_025:], clips[0].bass[:, :-11_025])


@pytest.mark.parametrize("notes_known", [True, False])
def test_a_semitone_is_a_semitone(clips: tuple[Clip, Clip], notes_known: bool) -> None:
    clip = clips[0] if notes_known else dataclasses.replace(clips[0], bass_notes=())
    was, now = bass_pitch(clip.bass), bass_pitch(semitone_up(clip, clips[1], 0))
    both = was.voiced & now.voiced
    assert np.median(now.midi[both] - was.midi[both]) == pytest.approx(1, abs=0.1)
    assert chord_tone_share(now, clip.chords) < 0.1 < 0.9 < chord_tone_share(was, clip.chords)


def test_noise_is_as_loud_as_the_bass_pink_and_seeded(clips: tuple[Clip, Clip]) -> None:
    audio = noise(*clips, 0)
    assert loudness(audio) == pytest.approx(loudness(clips[0].bass), abs=0.1)
    power = np.abs(np.fft.rfft(audio[0])) ** 2
    octaves = [power[SAMPLES * low // SAMPLE_RATE : SAMPLES * 2 * low // SAMPLE_RATE].sum() for low in (100, 400, 1600)]
    assert max(octaves) / min(octaves) < 1.3
    assert not np.array_equal(audio, noise(*clips, 1))
    silent = dataclasses.replace(clips[0], bass=np.zeros_like(clips[0].bass))
    assert not noise(silent, clips[1], 0).any()


@pytest.mark.parametrize("count", [2, 3, 10, 31])
def test_nobody_is_their_own_partner(count: int) -> None:
    partner = derangement(count, generator=np.random.default_rng(5))
    assert sorted(partner) == list(range(count))
    assert (partner != np.arange(count)).all()
    np.testing.assert_array_equal(partner, derangement(count, generator=np.random.default_rng(5)))


def test_one_song_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="two"):
        derangement(1, generator=np.random.default_rng(0))


def test_the_interval_of_a_mean_covers_it() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = mean_interval(generator.normal(3.0, 1.0, 40), generator=generator, resamples=400)
        covered += interval.low <= 3.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.98
    assert mean_interval([2.0, 2.0, 2.0], generator=generator).low == 2.0
    assert np.isnan(mean_interval([1.0], generator=generator).low)
    assert np.isnan(mean_interval([], generator=generator).value)
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1.0, float("nan")], generator=generator)


def test_a_system_needs_no_base_class() -> None:
    class Echo:
        name = "echo"
        sample_rate = SAMPLE_RATE

        def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: list[int]) -> np.ndarray:
            return mix

    assert isinstance(Echo(), Accompanist)
    assert not isinstance(object(), Accompanist)
