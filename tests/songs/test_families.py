"""Rendering families: switched on by name, seeded apart, and musically true whatever they do to the sound."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.songs import families
from bassbench.songs.arrangement import arrange
from bassbench.songs.clips import HUMAN_MASTERED, ClipRequest, clip_requests
from bassbench.songs.families import FAMILIES, chosen, key_of, melody, perform
from bassbench.songs.mastering import Master, coded, draw_master, limited, master
from bassbench.songs.production import ducked, level
from bassbench.songs.render import render_clip
from bassbench.songs.song_bank import Song
from bassbench.stems.training_data import training_requests

SAMPLES = 6 * 44_100
FREE = tuple(name for name, family in FAMILIES.items() if not family.package)
"""Families that need no Debian package."""


def _installed(*names: str) -> None:
    try:
        chosen(names)
    except BadInputError as error:
        pytest.skip(str(error))


def test_no_families_is_the_rendering_as_it_was(song: Song) -> None:
    plain, off = render_clip(song, 3, samples=SAMPLES), render_clip(song, 3, samples=SAMPLES, families=())
    assert plain.mix.tobytes() == off.mix.tobytes() and plain.bass.tobytes() == off.bass.tobytes()
    # Made before there were families: cached clips and committed results stay what they are.
    assert ClipRequest(song, 3).key == ClipRequest(song, 3, families=()).key != ClipRequest(song, 3, families=FREE).key


def test_a_rendering_by_families_is_a_function_of_its_seed(song: Song) -> None:
    first, again = (render_clip(song, 1, samples=SAMPLES, subset=True, families=FREE) for _ in range(2))
    assert first.mix.tobytes() == again.mix.tobytes() and first.bass.tobytes() == again.bass.tobytes()
    assert first.tuning == again.tuning != 0 and first.mix.shape == first.bass.shape == (2, SAMPLES)
    assert np.isfinite(first.mix).all() and np.abs(first.mix + first.bass).max() < 0.9


def test_a_family_switched_on_changes_nothing_of_the_others(song: Song) -> None:
    plan = arrange(song, 5, start=0, seconds=20)
    whole, made = perform(plan, song, 5, FREE)
    for name in FREE:
        less = perform(plan, song, 5, tuple(other for other in FREE if other != name))[1]
        same = {
            "tuning": made.tuning == less.tuning,
            "synth-bass": made.patch == less.patch,
            "mastering": made.master == less.master,
            "levels": made.drum_decibels == less.drum_decibels,
        }
        assert [switch for switch, kept in same.items() if not kept] in ([name], []), name
    assert whole.bass.notes != plan.bass.notes


def test_twelve_seeds_are_twelve_keys_and_the_truth_moves_along(song: Song) -> None:
    assert sorted(key_of(song, seed) for seed in range(12)) == list(range(-6, 6))
    plain = arrange(song, 0, start=0, seconds=20, vary=False)
    for seed in range(12):
        clip = render_clip(song, seed, start=0.0, samples=44_100, vary=False, families=("keys",))
        shift = key_of(song, seed)
        roots = [chord.root for chord in clip.chords]
        assert roots[0] == (plain.chords[0].root + shift) % 12
        assert {n.pitch % 12 for n in clip.bass_notes} == {(n.pitch + shift) % 12 for n in plain.bass.notes[:2]}
        assert min(n.pitch for n in clip.bass_notes) >= families.BASS_RANGE[0]


def test_timing_is_human_and_the_bass_plays_one_note_at_a_time(song: Song) -> None:
    plan = arrange(song, 0, start=0, seconds=20, vary=False)
    played = perform(plan, song, 0, ("timing",))[0]
    late = np.array([b.start - a.start for a, b in zip(plan.bass.notes, played.bass.notes, strict=True)])
    assert 0 < np.abs(late).max() < 0.06
    ordered = played.bass.notes
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(ordered))


def test_parts_enter_and_leave_but_never_all(song: Song) -> None:
    alone = 0
    for seed in range(30):
        plan = arrange(song, seed, start=0, seconds=28)
        played = perform(plan, song, seed, ("levels",))[0]
        before, after = ({part.name: len(part.notes) for part in one.others} for one in (plan, played))
        assert after["chord"] == before["chord"] and after["drum"] > 0
        alone += after["drum"] < before["drum"]
        assert -14 <= played.bass_over_mix <= -3
    assert 2 < alone < 28


def test_the_voice_sings_the_chords_and_its_notes_are_told(song: Song) -> None:
    clips = [render_clip(song, seed, samples=3 * 44_100, families=("voice",)) for seed in range(5)]
    plain = [render_clip(song, seed, samples=3 * 44_100) for seed in range(5)]
    more = [len(a.mix_notes) - len(b.mix_notes) for a, b in zip(clips, plain, strict=True)]
    assert 0 in more and max(more) > 2
    notes = melody(song.chords, song.beats, 28.0, np.random.default_rng(0))
    inside = [
        note.pitch % 12 in next(c for c in song.chords if c.start <= note.start < c.end).pitch_classes
        for note in notes
        if note.start < 27
    ]
    assert np.mean(inside) > 0.6 and all(note.end > note.start for note in notes)


def test_what_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no rendering family 'shouting'"):
        chosen(("shouting",))
    monkeypatch.setattr(families, "SOUND_FOLDERS", (tmp_path,))
    monkeypatch.setattr(families, "_SAMPLES", tmp_path)
    for name, family in FAMILIES.items():
        if family.package:
            with pytest.raises(BadInputError, match=f"install the Debian package {family.package}"):
                chosen(("keys", name))
    with pytest.raises(BadInputError, match="install the Debian package"):
        clip_requests("validation", 1, families=("all",))
    (tmp_path / "sf_GMbank.sf2").write_bytes(b"a font")
    monkeypatch.setenv("BASSBENCH_SOUNDS", str(tmp_path))
    assert chosen(("csound",)) == ("csound",)


def test_human_mastered_is_for_testing_and_the_human_pieces_in_other_sounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "FluidR3_GM.sf2").write_bytes(b"a font")
    monkeypatch.setenv("BASSBENCH_FLUIDR3", str(tmp_path / "FluidR3_GM.sf2"))
    mastered, plain = clip_requests(HUMAN_MASTERED, 3), clip_requests("human", 3)
    assert [request.song.name for request in mastered] == [request.song.name for request in plain]
    assert all(request.families == ("tuning", "mastering") for request in mastered)
    with pytest.raises(BadInputError, match="testing only"):
        training_requests(HUMAN_MASTERED)


@pytest.mark.parametrize("name", ["csound", "opl3", "kits", "samples"])
def test_installed_sounds_are_heard(song: Song, name: str) -> None:
    _installed(name)
    with_it = next(
        clip
        for seed in range(20)
        if (clip := render_clip(song, seed, samples=44_100 * 2, families=(name,))).mix.any()
        and perform(arrange(song, seed, start=0, seconds=2), song, seed, (name,))[1]
        != dataclasses.replace(perform(arrange(song, seed, start=0, seconds=2), song, seed, ())[1], families=(name,))
    )
    seed = int(with_it.name.rsplit("-", 1)[1])
    plain = render_clip(song, seed, samples=44_100 * 2)
    assert not np.allclose(with_it.mix, plain.mix, atol=1e-3) or not np.allclose(with_it.bass, plain.bass, atol=1e-3)


# The end of chain


def test_every_stage_gives_finite_stereo_in_time() -> None:
    generator = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 220 * np.arange(44_100) / 44_100)
    audio = (0.1 * generator.standard_normal((2, 44_100)) + 0.2 * tone).astype(np.float32)
    seen: set[str] = set()
    for seed in range(25):
        chain = dataclasses.replace(draw_master(np.random.default_rng(seed)), codec=None)
        seen |= {field.name for field in dataclasses.fields(chain) if getattr(chain, field.name)}
        out = master(audio, chain)
        assert out.shape == audio.shape and np.isfinite(out).all() and np.abs(out).max() > 0.01
    assert {"equaliser", "compressor", "drive", "room", "limit", "noise"} <= seen
    assert not master(np.zeros_like(audio), draw_master(generator)).any()


@pytest.mark.parametrize("kind", ["mp3", "vorbis"])
def test_lossy_coding_keeps_its_place(kind: str) -> None:
    generator = np.random.default_rng(1)
    audio = np.cumsum(generator.standard_normal((2, 66_150)), axis=1)
    audio = (audio - np.linspace(audio[:, 0], audio[:, -1], 66_150).T).astype(np.float32)
    out = coded(audio, kind, 0.5)
    assert out.shape == audio.shape
    assert np.corrcoef(audio.ravel(), out.ravel())[0, 1] > 0.99


def test_the_limiter_lifts_what_is_soft_and_never_clips() -> None:
    audio = np.full((2, 44_100), 0.05, np.float32)
    audio[:, 20_000:20_100] = 1.0
    out = limited(audio, 6.0)
    assert np.abs(out).max() <= 1.0
    assert out[0, 1_000] == pytest.approx(0.05 * 10 ** (6 / 20), rel=0.02)
    assert out[0, 20_050] == pytest.approx(1.0, abs=0.02)


def test_mono_has_no_side() -> None:
    audio = np.random.default_rng(2).standard_normal((2, 10_000)).astype(np.float32)
    out = master(audio, Master(width=0.0))
    np.testing.assert_allclose(out[0], out[1], atol=1e-6)


def test_ducking_falls_at_the_kick_and_comes_back() -> None:
    gain = ducked([0.5], 44_100, decibels=12.0, seconds=0.2)
    assert gain[1_000] == 1.0 and gain[22_200] == pytest.approx(10 ** (-12 / 20), abs=0.05) and gain[40_000] == 1.0


def test_level_is_that_of_what_plays() -> None:
    audio = np.zeros((2, 88_200), np.float32)
    audio[:, :44_100] = 0.5
    assert level(audio) == pytest.approx(0.5) and level(np.zeros_like(audio)) == 0.0
