"""The transcriber against notes that are known, synthesised and rendered from the song bank."""

import itertools

import mir_eval
import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.hearing.onsets import onset_envelope
from bassbench.hearing.transcription import comb_pitch, transcribe
from bassbench.songs.arrangement import BASS_PROGRAMS, Note, Part
from bassbench.songs.clips import load_clips
from bassbench.songs.soundfont import render_parts
from bassbench.suite.anchors import noise


def played(notes: list[Note], program: int, seconds: float) -> np.ndarray:
    return render_parts([Part("bass", program, False, tuple(notes), volume=120, reverb=20)], seconds)


def f1(true: tuple[Note, ...] | list[Note], found: tuple[Note, ...]) -> float:
    """F1 of onset (50 ms) and pitch."""
    times = [np.array([[n.start, max(n.end, n.start + 0.01)] for n in notes]) for notes in (true, found)]
    hertz = [440 * 2 ** ((np.array([n.pitch for n in notes]) - 69) / 12) for notes in (true, found)]
    return mir_eval.transcription.precision_recall_f1_overlap(
        times[0], hertz[0], times[1], hertz[1], offset_ratio=None
    )[2]


@pytest.mark.parametrize("program", BASS_PROGRAMS)
def test_every_program_is_written_down(program: int) -> None:
    pitches = (28, 28, 28, 40, 33, 35, 36, 36, 43, 31, 55, 48)
    notes = [Note(0.25 * i, 0.25 * i + (0.24 if i % 2 else 0.15), pitch, 100) for i, pitch in enumerate(pitches)]
    found = transcribe(played(notes, program, 3.5))
    assert f1(notes, found) > 0.9
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


def test_clips_of_the_bank_are_written_down() -> None:
    for split in ("test", "human"):
        scores = [
            f1([n for n in clip.bass_notes if n.start < 23.7], transcribe(clip.bass))
            for clip in load_clips(split, 2, progress=False)
        ]
        assert np.mean(scores) > 0.8


def test_slurred_notes_of_one_unbroken_wave_are_told_apart() -> None:
    pitches = np.repeat([33, 36, 40, 38], SAMPLE_RATE // 2)
    phase = np.cumsum(440 * 2 ** ((pitches - 69) / 12)) * 2 * np.pi / SAMPLE_RATE
    wave = 0.2 * sum(np.sin(k * phase) / k for k in (1, 2, 3, 4))
    found = transcribe(np.tile(wave.astype(np.float32), (2, 1)))
    assert [note.pitch for note in found] == [33, 36, 40, 38]
    assert np.abs(np.array([note.start for note in found]) - [0, 0.5, 1.0, 1.5]).max() < 0.05


def test_end_and_velocity_follow_the_sound() -> None:
    notes = [Note(0.0, 0.3, 33, 120), Note(1.0, 1.7, 40, 50), Note(2.0, 2.2, 36, 120)]
    found = transcribe(played(notes, 38, 3.0))
    assert np.abs(np.array([n.end for n in found]) - [n.end for n in notes]).max() < 0.12
    assert found[1].velocity < 0.75 * found[0].velocity


def test_neither_gain_nor_rate_nor_channels_matter() -> None:
    notes = [Note(0.3 * i, 0.3 * i + 0.25, pitch) for i, pitch in enumerate((28, 33, 40, 33, 36))]
    audio = played(notes, 33, 2.0)
    found = transcribe(audio)
    assert transcribe((audio * np.float32(0.125)).astype(np.float32)) == found
    half = transcribe(audio[:, ::2], SAMPLE_RATE // 2)
    assert [n.pitch for n in half] == [n.pitch for n in found] == [28, 33, 40, 33, 36]
    assert [n.start for n in half] == pytest.approx([n.start for n in found], abs=0.01)
    assert [n.pitch for n in transcribe(audio[:1])] == [28, 33, 40, 33, 36]


def test_silence_noise_and_scraps_have_no_notes() -> None:
    clip = load_clips("test", 1, progress=False)[0]
    assert transcribe(noise(clip, clip, 0)) == ()
    assert transcribe(np.zeros((2, SAMPLE_RATE), np.float32)) == ()
    for samples in (0, 1, 100, 5000):
        assert transcribe(np.full((2, samples), 0.1, np.float32)) == ()


def test_broken_audio_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        transcribe(np.full((2, SAMPLE_RATE), np.nan, np.float32))
    with pytest.raises(ValueError, match="channels, samples"):
        onset_envelope(np.zeros(100, np.float32))


def test_a_loud_resonance_below_the_note_is_not_its_pitch() -> None:
    time = np.arange(1200) / 4000
    note = sum(np.sin(2 * np.pi * 55 * k * time) / k for k in range(1, 8))
    pitch, clear = comb_pitch(note + 3 * np.sin(2 * np.pi * 44 * time))
    assert abs(pitch - 33) <= 0.25 and clear > 0.15
    assert comb_pitch(np.zeros(1200))[1] == 0.0


def test_an_onset_is_found_where_it_is() -> None:
    audio = np.zeros((2, 2 * SAMPLE_RATE), np.float32)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    audio[:, SAMPLE_RATE:] = (0.3 * np.exp(-3 * time) * np.sin(2 * np.pi * 82.4 * time)).astype(np.float32)
    envelope = onset_envelope(audio)
    assert envelope.times[envelope.strength.argmax()] == pytest.approx(1.0, abs=0.015)
    assert onset_envelope(np.zeros((2, SAMPLE_RATE), np.float32)).strength.max() == 0
