"""Pitch and chord tones: known answers on synthetic tones and on a rendered bass whose notes are known."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.hearing.chroma import Chroma, Key, chroma, estimated_key
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.harmony import (
    METRICS,
    chord_at,
    chord_tone_share,
    chroma_agreement,
    downbeat_root_share,
    key_of,
    key_share,
    pitch_classes,
    sounding_share,
    voiced_share,
)
from bassbench.metrics.metric import Scored
from bassbench.songs.arrangement import BASS_PROGRAMS, Note, Part
from bassbench.songs.clips import load_clips
from bassbench.songs.render import Clip, render_clip
from bassbench.songs.song_bank import Chord, Song
from bassbench.songs.soundfont import render_parts
from bassbench.suite.anchors import half_beat_late, other_song, real, semitone_up, silence

MEASURE = {metric.name: metric.measure for metric in METRICS}
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


def test_roots_on_downbeats_are_counted_where_the_bass_sounds() -> None:
    # 0.5 s bars: C, then E over C, then silence, then A over A minor.
    midi = [36.0] * 10 + [40] * 10 + [45] * 20
    voiced = [True] * 20 + [False] * 10 + [True] * 10
    chords = [C_MAJOR, A_MINOR]
    assert downbeat_root_share(track(midi, voiced, step=0.05), chords, [0.0, 0.5, 1.0, 1.5]) == pytest.approx(2 / 3)
    assert downbeat_root_share(track(midi, voiced, step=0.05), chords, [0.5]) == 0.0
    assert np.isnan(downbeat_root_share(track(midi, voiced, step=0.05), chords, [1.0, 7.0]))


def test_pitch_classes_that_sound_in_the_mix_are_counted() -> None:
    notes = (Note(0.0, 1.0, 60), Note(0.0, 0.5, 64), Note(1.0, 1.5, 69))
    assert sounding_share(track([36] * 10), notes) == 1.0
    assert sounding_share(track([40] * 10), notes) == 0.5
    # From 1.5 s on nothing sounds in the mix, so those frames do not count.
    assert sounding_share(track([36] * 10 + [33] * 10), notes) == 1.0
    assert np.isnan(sounding_share(track([36] * 10), ()))
    assert np.isnan(sounding_share(track([36], [False]), notes))


def test_chroma_agreement_is_one_by_chance_and_twelve_at_most() -> None:
    times = np.arange(20) * 0.1
    only_c = np.zeros((20, 12))
    only_c[:, 0] = 12
    assert chroma_agreement(track([36] * 10), Chroma(times, only_c)) == 12
    assert chroma_agreement(track([37] * 10), Chroma(times, only_c)) == 0
    assert chroma_agreement(track([37] * 10), Chroma(times, np.ones((20, 12)))) == 1
    assert np.isnan(chroma_agreement(track([36], [False]), Chroma(times, only_c)))
    assert np.isnan(chroma_agreement(track([36]), Chroma(times, np.zeros((20, 12)))))


def test_chroma_and_key_are_heard() -> None:
    chord = render_parts([Part("chord", 0, False, tuple(Note(0.0, 2.0, pitch) for pitch in (57, 60, 64)))], 2.0)
    heard = chroma(chord)
    assert set(np.argsort(heard.strength.mean(axis=0))[-3:]) == {9, 0, 4}
    assert heard.strength[5].mean() == pytest.approx(1)
    scale = tuple(Note(0.5 * i, 0.5 * i + 0.5, 62 + step) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0)))
    assert estimated_key(chroma(render_parts([Part("lead", 0, False, scale)], 6.0))) == Key(2, "major")
    assert estimated_key(chroma(np.zeros((2, SAMPLE_RATE), np.float32))) is None
    with pytest.raises(ValueError, match="NaN"):
        chroma(np.full((2, 100), np.nan))


def test_notes_of_the_key_are_counted() -> None:
    assert Key(9, "minor").pitch_classes == (9, 11, 0, 2, 4, 5, 7)
    assert key_share(track([36, 38, 37, 39]), Key(0, "major")) == 0.5
    assert key_share(track([36, 38, 37, 39]), Key(10, "major")) == 0.75
    assert np.isnan(key_share(track([36], [False]), Key(0, "major")))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return load_clips("test", 4, progress=False)


def test_the_ladder_of_damaged_basses_is_ranked(clips: list[Clip]) -> None:
    def score(name: str, anchor: Callable[[Clip, Clip, int], np.ndarray]) -> float:
        basses = [anchor(clip, clips[(i + 1) % len(clips)], i) for i, clip in enumerate(clips)]
        scores = [MEASURE[name](Scored(clip, bass)) for clip, bass in zip(clips, basses, strict=True)]
        return float(np.mean(scores))

    for name in ("chord-tone share", "share sounding in the mix", "root on downbeats", "chroma agreement"):
        own = score(name, real)
        assert own > 1.2 * score(name, other_song)
        assert own > 1.2 * score(name, semitone_up)
    assert score("chord-tone share", real) > score("chord-tone share", half_beat_late)
    assert score("notes in the key", real) > 1.2 * score("notes in the key", semitone_up)
    assert score("voiced share", semitone_up) == pytest.approx(score("voiced share", real), abs=0.1)


def test_silence_and_unknown_truth_are_not_scored(clips: list[Clip]) -> None:
    clip = clips[0]
    silent = {name: measure(Scored(clip, silence(clip, clip, 0))) for name, measure in MEASURE.items()}
    assert silent.pop("voiced share") == 0
    assert all(np.isnan(value) for value in silent.values())
    unknown = Scored(dataclasses.replace(clip, chords=(), mix_notes=(), key=""), clip.bass)
    missing = {name for name, measure in MEASURE.items() if np.isnan(measure(unknown))}
    assert missing == {"chord-tone share", "root on downbeats", "share sounding in the mix"}
    assert key_of(dataclasses.replace(clip, key="F# minor")) == Key(6, "minor")
    mute = Scored(dataclasses.replace(clip, key="", mix=np.zeros_like(clip.mix)), clip.bass)
    assert np.isnan(MEASURE["notes in the key"](mute)) and np.isnan(MEASURE["chroma agreement"](mute))
