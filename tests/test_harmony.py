"""Pitch and chord tones: known answers on synthetic tones and on a rendered bass whose notes are known."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.harmony import chord_at, chord_tone_share, pitch_classes, voiced_share
from bassbench.pitch import PitchTrack, bass_pitch
from bassbench.render import BASS_PROGRAMS, Note, Part, render_clip, render_parts
from bassbench.song_bank import Chord, Song

C_MAJOR = Chord(0.0, 1.0, "C", 0, (0, 4, 7))
A_MINOR = Chord(1.0, 2.0, "Am", 9, (9, 0, 4))


def tone(hertz: float, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3, 4))
    return np.tile(level * wave / 2, (2, 1)).astype(np.float32)


def track(midi: list[float], voiced: list[bool] | None = None, step: float = 0.1) -> PitchTrack:
    count = len(midi)
    f0 = 440 * 2 ** ((np.array(midi) - 69) / 12)
    is_voiced = np.array([True] * count if voiced is None else voiced)
    return PitchTrack((np.arange(count) + 0.5) * step, f0, is_voiced, np.ones(count))


@pytest.mark.parametrize("hertz", [36.7, 41.2, 55.0, 82.4, 110.0, 196.0, 311.1, 392.0])
def test_tones_are_tracked_within_twenty_cents(hertz: float) -> None:
    found = bass_pitch(tone(hertz))
    assert found.voiced.mean() > 0.95
    assert np.abs(1200 * np.log2(found.f0[found.voiced] / hertz)).max() < 20


@pytest.mark.parametrize("program", BASS_PROGRAMS)
def test_every_bass_program_is_tracked_to_its_pitch_class(program: int) -> None:
    notes = tuple(Note(i * 0.5, i * 0.5 + 0.45, pitch) for i, pitch in enumerate((28, 33, 36, 40, 43, 48, 52, 55)))
    found = bass_pitch(render_parts([Part("bass", program, False, notes, volume=120, reverb=20)], 4.0))
    right = total = 0
    for note in notes:
        held = found.voiced & (found.times > note.start + 0.06) & (found.times < note.end - 0.04)
        right += int((pitch_classes(found.f0[held]) == note.pitch % 12).sum())
        total += int(held.sum())
    assert total > 60
    assert right / total > 0.95


def test_silence_and_noise_have_no_pitch() -> None:
    generator = np.random.default_rng(0)
    assert voiced_share(bass_pitch(np.zeros((2, SAMPLE_RATE), np.float32))) == 0
    assert voiced_share(bass_pitch(0.1 * generator.standard_normal((2, SAMPLE_RATE)).astype(np.float32))) < 0.05
    assert voiced_share(bass_pitch(np.ones((2, 100), np.float32))) == 0
    half = np.concatenate([tone(55.0), np.zeros((2, SAMPLE_RATE), np.float32)], axis=1)
    assert voiced_share(bass_pitch(half)) == pytest.approx(0.5, abs=0.05)


def test_level_and_rate_do_not_matter() -> None:
    quiet, loud = bass_pitch(tone(55.0, level=0.003)), bass_pitch(tone(55.0, level=0.9))
    np.testing.assert_array_equal(quiet.voiced, loud.voiced)
    np.testing.assert_allclose(quiet.f0, loud.f0, rtol=1e-4)
    assert np.median(bass_pitch(tone(55.0)[:, ::2], SAMPLE_RATE // 2).f0) == pytest.approx(55, rel=1e-3)


def test_broken_audio_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        bass_pitch(np.full((2, 100), np.nan))


def test_share_of_chord_tones_is_counted() -> None:
    # C E G D over C major, then A C E B over A minor.
    midi = [36, 40, 43, 38] + [36] * 6 + [45, 48, 52, 47] + [45] * 6
    assert chord_tone_share(track(midi), [C_MAJOR, A_MINOR]) == pytest.approx(18 / 20)
    unvoiced = [pitch not in (38, 47) for pitch in midi]
    assert chord_tone_share(track(midi, unvoiced), [C_MAJOR, A_MINOR]) == 1.0


def test_octaves_order_and_detuning_do_not_matter() -> None:
    midi = [36, 40, 43, 38, 36, 36, 36, 36, 36, 36, 45, 48]
    expected = chord_tone_share(track(midi), [C_MAJOR, A_MINOR])
    assert chord_tone_share(track([m + 12 for m in midi]), [C_MAJOR, A_MINOR]) == expected
    assert chord_tone_share(track([m + 0.4 for m in midi]), [A_MINOR, C_MAJOR]) == expected
    assert chord_tone_share(track([m + 1 for m in midi]), [C_MAJOR, A_MINOR]) < 0.2


def test_frames_without_a_chord_do_not_count() -> None:
    assert chord_at(np.array([-0.1, 0.0, 0.999, 1.0, 2.0]), [C_MAJOR, A_MINOR]).tolist() == [-1, 0, 0, 1, -1]
    assert chord_tone_share(track([36] * 10 + [37] * 10), [C_MAJOR]) == 1.0
    assert np.isnan(chord_tone_share(track([36], [False]), [C_MAJOR]))


def test_unknown_chords_and_broken_tracks_are_refused() -> None:
    with pytest.raises(ValueError, match="chords"):
        chord_tone_share(track([36]), [])
    broken = PitchTrack(np.zeros(2), np.ones(3), np.ones(3, bool), np.ones(3))
    with pytest.raises(ValueError, match="per frame"):
        chord_tone_share(broken, [C_MAJOR])


def test_a_rendered_bass_fits_its_own_chords_and_not_those_a_semitone_away(song: Song) -> None:
    clip = render_clip(song, 0, samples=10 * SAMPLE_RATE, start=0.0)
    found = bass_pitch(clip.bass)
    # The song's bass plays roots only; what is lost are frames across a chord change.
    assert chord_tone_share(found, clip.chords) > 0.95
    moved = [Chord(c.start, c.end, "", c.root, tuple((p + 1) % 12 for p in c.pitch_classes)) for c in clip.chords]
    assert chord_tone_share(found, moved) < 0.1
