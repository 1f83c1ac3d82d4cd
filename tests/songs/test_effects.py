"""Varied timbres: seeded, musically safe, and switched off unless asked for."""

import sys

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.hearing.pitch import bass_pitch
from bassbench.songs.arrangement import arrange
from bassbench.songs.clips import UNSEEN_FONT, ClipRequest, clip_requests, unseen_soundfont
from bassbench.songs.effects import Timbre, apply_effects, draw_timbre
from bassbench.songs.render import render_clip
from bassbench.songs.song_bank import load_songs

SAMPLES = 6 * 44_100


def test_timbres_vary_and_repeat_with_their_seed():
    drawn = [draw_timbre(np.random.default_rng(seed)) for seed in range(60)]
    assert drawn == [draw_timbre(np.random.default_rng(seed)) for seed in range(60)]
    plain = [timbre for timbre in drawn if not timbre.bass]
    assert 10 <= len(plain) <= 40  # four of ten basses stay as the synthesiser plays them
    assert any(timbre.glide for timbre in drawn) and any(timbre.layer is not None for timbre in drawn)
    assert len({str(timbre.bass) for timbre in drawn}) > 20


def test_every_effect_gives_finite_stereo_of_the_same_length():
    generator = np.random.default_rng(0)
    audio = generator.standard_normal((2, 44_100)).astype(np.float32) * 0.1
    names = set()
    for seed in range(40):
        effects = draw_timbre(np.random.default_rng(seed)).bass
        names |= {name for name, _ in effects}
        played = apply_effects(audio, effects)
        assert played.shape == audio.shape and played.dtype == np.float32 and np.isfinite(played).all()
    assert {"Distortion", "Compressor", "Chorus", "Phaser", "Reverb", "LowpassFilter"} <= names
    assert not apply_effects(np.zeros_like(audio), (("Distortion", {"drive_db": 20.0}),)).any()


def test_effects_change_the_sound_but_not_the_music():
    song = load_songs("train")[5]
    for seed in range(4):
        plain = arrange(song, seed, start=0.0, seconds=10.0)
        varied = arrange(song, seed, start=0.0, seconds=10.0, effects=True)
        assert [(n.start, n.end, n.pitch) for n in plain.bass.notes] == [
            (n.start, n.end, n.pitch) for n in varied.bass.notes
        ]
        assert plain.timbre == Timbre()
        assert plain.bass.program == varied.bass.program and len(plain.others) == len(varied.others)


def test_clips_with_effects_keep_their_pitch():
    kept = []
    for request in clip_requests("train", 6, samples=SAMPLES, effects=True):
        clip = request.render()
        assert np.abs(clip.mix + clip.bass).max() < 0.9
        track = bass_pitch(clip.bass)
        for note in clip.bass_notes:
            inside = (track.times > note.start + 0.08) & (track.times < min(note.end, note.start + 0.5)) & track.voiced
            kept += list(np.abs(track.midi[inside] - note.pitch) < 0.6)
    assert len(kept) > 200 and np.mean(kept) > 0.9


def test_effects_belong_to_the_key_and_are_deterministic():
    song = load_songs("train")[0]
    requests = [ClipRequest(song, 0, SAMPLES, effects=effects) for effects in (False, True)]
    assert requests[0].key != requests[1].key
    seed = next(seed for seed in range(20) if arrange(song, seed, start=0, seconds=6, effects=True).timbre.bass)
    first, again, plain = (render_clip(song, seed, samples=SAMPLES, effects=effects) for effects in (True, True, False))
    np.testing.assert_array_equal(first.bass, again.bass)
    assert np.abs(first.bass - plain.bass).max() > 0.01


def test_without_pedalboard_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pedalboard", None)
    with pytest.raises(BadInputError, match=r"bassbench\[train\]"):
        apply_effects(np.ones((2, 100), np.float32), (("Chorus", {}),))


def test_the_unseen_font_is_the_test_split_in_other_sounds(monkeypatch, tmp_path):
    monkeypatch.setenv("BASSBENCH_FLUIDR3", str(tmp_path / "FluidR3_GM.sf2"))
    with pytest.raises(BadInputError, match="fluid-soundfont-gm"):
        unseen_soundfont()
    (tmp_path / "FluidR3_GM.sf2").write_bytes(b"a font")
    unseen, seen = clip_requests(UNSEEN_FONT, 3), clip_requests("test", 3)
    assert [request.song.name for request in unseen] == [request.song.name for request in seen]
    assert all(request.soundfont == tmp_path / "FluidR3_GM.sf2" for request in unseen)
    assert not {request.key for request in unseen} & {request.key for request in seen}
