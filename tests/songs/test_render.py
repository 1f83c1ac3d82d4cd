"""Rendering: same seed same bytes, every bass program in tune, truth that matches the sound."""

import dataclasses

import librosa
import numpy as np
import pytest
from valid_audio import assert_audio_valid

from bassbench.audio import SAMPLE_RATE, loudness
from bassbench.errors import BadInputError
from bassbench.songs.arrangement import BASS_PROGRAMS, Note, Part, arrange, transposed
from bassbench.songs.render import CLIP_SAMPLES, render_clip, render_stems
from bassbench.songs.song_bank import Song
from bassbench.songs.soundfont import render_parts


def test_same_seed_same_bytes(song: Song) -> None:
    first, second, other = render_clip(song, 3), render_clip(song, 3), render_clip(song, 4)
    assert first.mix.tobytes() == second.mix.tobytes() and first.bass.tobytes() == second.bass.tobytes()
    assert first.bass.tobytes() != other.bass.tobytes()


def test_a_clip_is_valid_audio_with_headroom(song: Song) -> None:
    for seed in range(3):
        clip = render_clip(song, seed, subset=True)
        assert_audio_valid(clip.mix, samples=CLIP_SAMPLES)
        assert_audio_valid(clip.bass, samples=CLIP_SAMPLES)
        assert np.abs(clip.mix + clip.bass).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)


@pytest.mark.parametrize("program", BASS_PROGRAMS)
def test_every_bass_program_is_in_tune(program: int) -> None:
    pitches = (28, 33, 38, 43, 48, 55)
    notes = tuple(Note(i * 1.0, i * 1.0 + 0.9, pitch, 100) for i, pitch in enumerate(pitches))
    audio = render_parts([Part("bass", program, False, notes)], 6.0).mean(axis=0)
    f0 = librosa.yin(audio, fmin=30, fmax=300, sr=SAMPLE_RATE, frame_length=8192, hop_length=1024)
    times = np.arange(len(f0)) * 1024 / SAMPLE_RATE
    for note in notes:
        inside = (times > note.start + 0.25) & (times < note.end - 0.2)
        cents = 1200 * np.log2(np.median(f0[inside]) / librosa.midi_to_hz(note.pitch))
        assert abs(cents) < 20, f"program {program}, pitch {note.pitch}: {cents:.1f} cents"


def test_bass_programs_are_loudness_matched(song: Song) -> None:
    clips = [render_clip(song, seed) for seed in range(8)]
    assert len({clip.bass_program for clip in clips}) > 3
    for seed, clip in enumerate(clips):
        plan = arrange(song, seed, start=0, seconds=20)
        assert loudness(clip.bass) - loudness(clip.mix) == pytest.approx(plan.bass_over_mix, abs=0.3)


def test_transposition_moves_notes_and_truth_together_and_never_the_drums(song: Song) -> None:
    plain = arrange(song, 0, start=0, seconds=20, vary=False)
    shifts = set()
    for seed in range(20):
        plan = arrange(song, seed, start=0, seconds=20)
        shifts.add(plan.transposition)
        for before, after in zip((plain.bass, *plain.others), (plan.bass, *plan.others), strict=True):
            moved = {b.pitch - a.pitch for a, b in zip(before.notes, after.notes, strict=True)}
            assert moved == {0 if before.is_drum else plan.transposition}
        for before_chord, after_chord in zip(plain.chords, plan.chords, strict=True):
            assert (after_chord.root - before_chord.root) % 12 == plan.transposition % 12
            assert after_chord.symbol == transposed(before_chord.symbol, plan.transposition)
    assert shifts == set(range(-3, 4))


def test_the_bass_plays_the_roots_that_the_truth_names(song: Song) -> None:
    clip = render_clip(song, 11, start=3.3)
    for chord in clip.chords:
        inside = [note for note in clip.bass_notes if chord.start <= note.start < chord.end - 0.05]
        assert all(note.pitch % 12 == chord.root for note in inside)
    assert clip.chords[0].start == 0.0 and clip.chords[-1].end == pytest.approx(clip.seconds)


def test_subsets_are_random_and_never_empty(song: Song) -> None:
    kept = {tuple(p.name for p in arrange(song, s, start=0, seconds=20, subset=True).others) for s in range(60)}
    assert kept == {("chord",), ("drum",), ("chord", "drum")}
    plans = [arrange(song, 1, start=0, seconds=20, subset=True, effects=True, subset_draw=draw) for draw in range(12)]
    assert {tuple(part.name for part in plan.others) for plan in plans} == kept
    assert all(plan.bass == plans[0].bass and plan.timbre == plans[0].timbre for plan in plans)


def test_stems_are_the_clip_taken_apart(song: Song) -> None:
    stems = render_stems(song, 5)
    clip = render_clip(song, 5, samples=None)
    assert list(stems) == ["bass", "chord", "drum"]
    np.testing.assert_allclose(stems["bass"], clip.bass, atol=2e-2)
    together = stems["chord"] + stems["drum"]
    # The synthesiser starts voices in blocks, so stems and mix differ by a little, not in level or timing.
    assert np.corrcoef(together.ravel(), clip.mix.ravel())[0, 1] > 0.98


def test_what_cannot_be_rendered_is_refused(song: Song) -> None:
    with pytest.raises(BadInputError, match="too short"):
        render_clip(dataclasses.replace(song, duration=5.0), 0)
    with pytest.raises(BadInputError, match="no bass notes"):
        render_clip(song, 0, start=40.0, samples=44_100)


def test_transposed_names() -> None:
    assert transposed("E minor", 1) == "F minor"
    assert transposed("Bbm7", 2) == "Cm7"
    assert transposed("F#dim", -1) == "Fdim"
    assert transposed("", 3) == ""
