"""What can be asked of a bass: planes, a U-Net that they leave as it was, guidance, training, bad input."""

import dataclasses
import functools
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
import torch
from test_train_diffusion import Melodies, config, log
from tiny_model import music, tiny_model

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.plugins import warn_once
from bassbench.songs.arrangement import Note
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import QUALITIES, Chord, Song, parse_chord
from reference_model import generate as generate_module
from reference_model import latents
from reference_model.autoencoder import Autoencoder
from reference_model.conditions import (
    CHORDS,
    FRAME,
    KINDS,
    NOTES,
    PLANES,
    RHYTHM,
    Conditions,
    bass_line,
    even_beats,
    found_beats,
    known,
    read_chords,
    read_notes,
    refuse_unreadable,
    training_planes,
)
from reference_model.diffusion import denoiser
from reference_model.generate import Options, generate
from reference_model.guidance import guided, guided_twice
from reference_model.latents import LatentPairs, song_latents
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.presets import PRESETS, UNetConfig
from reference_model.train_diffusion import train
from reference_model.unet import UNet

CONFIG = dataclasses.replace(PRESETS["tiny"].unet, note_planes=PLANES)
LINE = (Note(0.0, 2.5 * FRAME, 28), Note(3.25 * FRAME, 5 * FRAME, 40), Note(5 * FRAME, 6 * FRAME, 40))


def awake(sizes: UNetConfig, *, notes: bool = True) -> UNet:
    """A U-Net that says something, of what is asked for too."""
    torch.manual_seed(0)
    unet = UNet(sizes).eval()
    torch.nn.init.normal_(unet.output.weight, std=0.1)
    if sizes.note_planes and notes:
        torch.nn.init.normal_(unet.note_input.weight, std=0.3)
    return unet


@pytest.fixture(scope="module")
def asked_weights(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that can be asked for notes."""
    folder = shutil.copytree(weights, tmp_path_factory.mktemp("weights") / "notes")
    awake(CONFIG).save_pretrained(folder / "unet.safetensors", encoders=_encoders(folder))
    return folder


def _encoders(folder: Path) -> dict[str, str]:
    return {
        which: latents.encoder_hash(Autoencoder.from_pretrained(folder / f"{which}_autoencoder.safetensors"))
        for which in ("mix", "bass")
    }


@pytest.fixture(scope="module")
def model(asked_weights: Path) -> BassAccompaniment:
    return tiny_model(asked_weights)


# Planes


def test_planes_of_a_known_line() -> None:
    found = Conditions(notes=LINE).planes(8)
    assert found.shape == (PLANES, 8) and found.dtype == np.float32
    pitches, onsets, given = found[NOTES][:40], found[NOTES][40:44], found[NOTES][44]
    np.testing.assert_allclose(pitches[0], [1, 1, 0.5, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pitches[12], [0, 0, 0, 0.75, 1, 1, 0, 0], atol=1e-6)
    assert pitches.sum() == pytest.approx(2.5 + 2.75) and given.all()
    assert np.argwhere(onsets).tolist() == [[0, 0], [0, 5], [1, 3]]
    assert not found[CHORDS].any() and not found[RHYTHM].any()


def test_planes_of_chords_and_a_rhythm_and_a_span() -> None:
    chords = (Chord(0, 2 * FRAME, "Am", *parse_chord("Am")), Chord(2 * FRAME, 3.5 * FRAME, "F", *parse_chord("F")))
    found = Conditions(chords=chords, rhythm=[0.5 * FRAME, 2.99 * FRAME, 9 * FRAME]).planes(5)
    allowed, given = found[CHORDS][:-1], found[CHORDS][-1]
    assert [np.flatnonzero(frame).tolist() for frame in allowed.T] == [[0, 4, 9]] * 2 + [[0, 5, 9]] * 2 + [[]]
    np.testing.assert_allclose(given, [1, 1, 1, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(allowed[5], [0, 0, 1, 0.5, 0], atol=1e-6)
    assert np.argwhere(found[RHYTHM][:-1]).tolist() == [[2, 0], [3, 2]] and found[RHYTHM][-1].all()
    assert not found[NOTES].any()
    part = Conditions(chords=chords, rhythm=[0.0], span=(FRAME, 3 * FRAME)).planes(5)
    assert part[RHYTHM][-1].tolist() == [0, 1, 1, 0, 0] and not part[:, [0, 3, 4]].any()
    np.testing.assert_array_equal(part[CHORDS, 1:3], found[CHORDS, 1:3])


def test_nothing_asked_is_zeros_and_no_notes_is_silence() -> None:
    assert not Conditions().planes(4).any()
    silence = Conditions(notes=()).planes(4)
    assert silence[NOTES][-1].all() and silence.sum() == 4


def test_one_note_at_a_time_and_free_where_no_bass_plays() -> None:
    chord = (Note(0, 4 * FRAME, 43), Note(0.01, 4 * FRAME, 31), Note(2 * FRAME, 4 * FRAME, 35))
    found = Conditions(notes=chord).planes(4)[NOTES]
    assert found[3].tolist() == [1, 1, 0, 0] and found[7].tolist() == [0, 0, 1, 1] and not found[15].any()
    low = Conditions(notes=(*LINE, Note(6 * FRAME, 7 * FRAME, 20))).planes(8)[NOTES]
    assert low[-1].tolist() == [1, 1, 1, 1, 1, 1, 0, 1] and not low[:, 6].any()


# Chords as they are written


def test_chords_are_laid_over_the_beats_and_repeated() -> None:
    beats = even_beats(120, 5.2)
    assert len(beats) == 11
    chords = read_chords("| Am F | C |", beats)
    assert [(chord.start, chord.end, chord.symbol) for chord in chords] == [
        *((0, 1, "Am"), (1, 2, "F"), (2, 4, "C"), (4, 5, "Am"), (5, 6, "F"))
    ]
    assert chords[0].pitch_classes == (9, 0, 4)
    waltz = read_chords("C G Am", beats, beats_per_bar=3)
    assert [chord.start for chord in waltz[:4]] == [0, 0.5, 1, 1.5]
    uneven = read_chords("Em | D", np.array([0.5, 1.0, 1.6, 2.0, 3.0]), beats_per_bar=4)
    assert [(chord.start, chord.symbol) for chord in uneven] == [(0.5, "Em"), (3.0, "D")]


def test_every_known_chord_is_read() -> None:
    symbols = [f"{root}{quality}" for root in ("C", "F#", "Bb") for quality in QUALITIES]
    chords = read_chords(" ".join(symbols), even_beats(120, 2), beats_per_bar=len(symbols))
    found = [(chord.root, chord.pitch_classes) for chord in chords]
    assert len(found) == 4 and found == [parse_chord(symbol) for symbol in symbols[:4]]
    for symbol in symbols:
        refuse_unreadable(symbol, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Am H", r"bar 1: 'H' cannot be read, 'H' is not expected"),
        ("C | Amx7", r"bar 2: 'Amx7' cannot be read, 'x' is not"),
        ("C/G", "'/' is not"),
        ("am", "'a' is not"),
        ("Cm7b", "'Cm7b' cannot be read, something is missing at its end"),
        ("C♯", "'♯' is not"),
        ("Am || C", "bar 2 is empty"),
        ("", "bar 1 is empty"),
        ("C|F|G|C", "4 bars, and the mix has 3 of 4 beats"),
    ],
)
def test_chords_that_cannot_be_read_name_the_character(text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        read_chords(text, even_beats(120, 5.2))


def test_beats_are_those_of_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    beats = np.array([0.1, 0.6, 1.1])
    monkeypatch.setattr("bassbench.suite.baselines.estimated_beats", lambda mix: beats[: len(mix[0])])
    assert found_beats(np.zeros((2, 3))).tolist() == beats.tolist()
    with pytest.raises(BadInputError, match=r"no beats are found.*--bpm"):
        found_beats(np.zeros((2, 1)))


# The U-Net


def inputs(frames: int = 16, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy, mix, notes = (torch.randn(batch, dims, frames, generator=generator) for dims in (8, 16, PLANES))
    return noisy, torch.rand(batch, generator=generator), mix, notes


@pytest.mark.parametrize("frames", [16, 13])
def test_zero_planes_change_nothing_and_a_new_u_net_hears_none(frames: int) -> None:
    noisy, level, mix, notes = inputs(frames)
    plain, unet = awake(PRESETS["tiny"].unet), awake(CONFIG)
    unet.start_from(plain)
    before = plain(noisy, level, mix)
    for asked in (mix, torch.cat([mix, torch.zeros_like(notes)], 1), torch.cat([mix, notes], 1)):
        assert torch.equal(unet(noisy, level, asked), before)
    torch.nn.init.normal_(unet.note_input.weight)
    assert torch.equal(unet(noisy, level, torch.cat([mix, torch.zeros_like(notes)], 1)), before)
    assert (unet(noisy, level, torch.cat([mix, notes], 1)) - before).abs().max() > 1e-3


def test_a_gradient_reaches_the_planes_of_a_new_u_net() -> None:
    noisy, level, mix, notes = inputs()
    unet = awake(CONFIG, notes=False).train()
    unet(noisy, level, torch.cat([mix, notes], 1)).square().mean().backward()
    assert unet.note_input.weight.grad is not None and unet.note_input.weight.grad.abs().min() > 0


def test_weights_of_before_there_were_planes_load_as_they_were(tmp_path: Path) -> None:
    assert "note_planes" not in PRESETS["small"].unet.to_dict()
    assert UNetConfig.from_dict(PRESETS["small"].unet.to_dict()).note_planes == 0
    assert UNetConfig.from_dict(CONFIG.to_dict()) == CONFIG
    awake(CONFIG).save_pretrained(tmp_path / "unet.safetensors", dtype=torch.float32)
    again, arguments = UNet.from_pretrained(tmp_path / "unet.safetensors"), inputs()
    noisy, level, asked = *arguments[:2], torch.cat(arguments[2:], 1)
    assert torch.equal(again(noisy, level, asked), awake(CONFIG)(noisy, level, asked))
    for wrong in (-1, 10**9):
        with pytest.raises(BadInputError, match="planes"):
            UNetConfig.from_dict({**CONFIG.to_dict(), "note_planes": wrong})


def test_weights_of_another_size_are_no_start() -> None:
    for mine, theirs in ((PRESETS["tiny"].unet, CONFIG), (CONFIG, dataclasses.replace(CONFIG, widths=(8, 12)))):
        with pytest.raises(BadInputError, match="weights to start from"):
            UNet(mine).start_from(UNet(theirs))


# Guidance


@pytest.mark.parametrize(
    ("weight", "more", "evaluations"), [(2.0, 3.0, 3), (1.0, 2.5, 2), (2.0, 2.0, 2), (0.0, 1.5, 3), (1.0, 1.0, 1)]
)
def test_guidance_is_its_equation_in_as_few_evaluations(weight: float, more: float, evaluations: int) -> None:
    noisy, level, mix, notes = inputs()
    unet, seen = awake(CONFIG), list[int]()

    def watched(noisy: torch.Tensor, level: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        seen.append(len(asked) // 2)
        return unet(noisy, level, asked)

    both, alone = torch.cat([mix, notes], 1), torch.cat([mix, torch.zeros_like(notes)], 1)
    found = guided_twice(functools.partial(denoiser, watched), alone, both, weight, more)(noisy, level)
    assert seen == [evaluations]
    none, with_mix, with_notes = (denoiser(unet, c)(noisy, level) for c in (torch.zeros_like(both), alone, both))
    expected = none + weight * (with_mix - none) + more * (with_notes - with_mix)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (with_notes - with_mix).abs().max() > 1e-3
    full = guided_twice(functools.partial(denoiser, unet), alone, both, weight, more, 1.0)(noisy, level)
    torch.testing.assert_close(full.std((1, 2)), with_notes.std((1, 2)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("weight", "phi"), [(2.0, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_without_a_weight_of_the_notes_it_is_the_guidance_of_the_mix(weight: float, phi: float) -> None:
    noisy, level, mix, notes = inputs()
    model = functools.partial(denoiser, awake(CONFIG))
    both, alone = torch.cat([mix, notes], 1), torch.cat([mix, torch.zeros_like(notes)], 1)
    found = guided_twice(model, alone, both, weight, 0.0, phi)(noisy, level)
    assert torch.equal(found, guided(model, alone, weight, phi)(noisy, level))
    with pytest.raises(ValueError, match="phi"):
        guided_twice(model, alone, both, weight, 1.0, 1.1)


# The model


def test_what_is_asked_for_changes_the_bass_and_nothing_asked_does_not(model: BassAccompaniment) -> None:
    mix, asked = np.stack([music(1, seed=s) for s in range(2)]), Conditions(notes=LINE)
    free = model.accompany(mix, seeds=[1, 2])
    assert np.array_equal(model.accompany(mix, seeds=[1, 2], conditions=Conditions()), free)
    unheard = Sampling(steps=2, notes_weight=0.0)
    assert np.array_equal(model.accompany(mix, seeds=[1, 2], conditions=asked, sampling=unheard), free)
    same = model.accompany(mix, seeds=[1, 2], conditions=asked)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(same, free, strict=True))
    own = model.accompany(mix, seeds=[1, 2], conditions=[Conditions(), asked])
    np.testing.assert_allclose(own, [free[0], same[1]], atol=1e-4)
    alone = dataclasses.replace(model, batch_size=1).accompany(mix, seeds=[1, 2], conditions=[Conditions(), asked])
    np.testing.assert_allclose(own, alone, atol=1e-4)


def test_conditions_that_do_not_fit_are_refused(model: BassAccompaniment, weights: Path) -> None:
    mix = music(1.5)[None]
    for conditions, said in (
        (Conditions(notes=[Note(2.0, 3.0, 40)]), "a note begins at 2.00 s, beyond its end: the mix is 1.50 s"),
        (Conditions(notes=[Note(-0.5, 3.0, 40)]), "before its start"),
        (Conditions(notes=[Note(0.0, 1.0, 90)]), "none of its 1 notes can be a bass's"),
        (Conditions(rhythm=np.array([0.1, 1.6])), "an onset of the rhythm begins at 1.60 s"),
        (Conditions(rhythm=[float("nan")]), "onset"),
        (Conditions(chords=[Chord(1.5, 2, "C", 0, (0, 4, 7))]), "a chord begins at 1.50 s"),
        (Conditions(notes=LINE, span=(1.0, 0.5)), "span 1 to 0.5 s"),
        (Conditions(notes=LINE, span=(2.0, 3.0)), "span 2 to 3 s"),
        ([Conditions(), Conditions()], "1 mixes need one set of conditions or as many, got 2"),
    ):
        with pytest.raises(BadInputError, match=said):
            model.accompany(mix, seeds=[0], conditions=conditions)
    with pytest.raises(BadInputError, match="were trained without notes"):
        tiny_model(weights).accompany(mix, seeds=[0], conditions=Conditions())


# From files


def midi(path: Path, notes: Sequence[Note], *, drums: bool = False) -> Path:
    file = pretty_midi.PrettyMIDI()
    track = pretty_midi.Instrument(0, is_drum=drums)
    track.notes = [pretty_midi.Note(90, note.pitch, note.start, note.end) for note in notes]
    file.instruments.append(track)
    file.write(str(path))
    return path


@pytest.fixture()
def files(tmp_path: Path) -> dict[str, Path]:
    soundfile.write(tmp_path / "mix.wav", music(2).T, SAMPLE_RATE)
    return {
        "mix": tmp_path / "mix.wav",
        "line": midi(tmp_path / "line.mid", [Note(0, 0.5, 40), Note(1, 1.5, 45)]),
        "drums": midi(tmp_path / "drums.mid", [Note(0, 0.1, 36), Note(0.7, 0.8, 36)], drums=True),
        "high": midi(tmp_path / "high.mid", [Note(0, 1, 80), Note(1, 2, 20)]),
        "empty": midi(tmp_path / "empty.mid", []),
        "late": midi(tmp_path / "late.mid", [Note(0, 1, 40), Note(2.5, 3, 40)]),
        "chord": midi(tmp_path / "chord.mid", [Note(0, 1, 40), Note(0.5, 1.5, 45), Note(0.5, 1.2, 33), Note(1, 2, 90)]),
    }


def test_generate_plays_what_is_asked_for(asked_weights: Path, files: dict[str, Path], tmp_path: Path) -> None:
    def played(name: str, **changes: object) -> bytes:
        options = Options(files["mix"], steps=1, weights=str(asked_weights), quiet=True, device="cpu")
        return generate(dataclasses.replace(options, output=tmp_path / f"{name}.wav", **changes))[0].read_bytes()

    asked = {
        "free": {},
        "notes": {"notes": files["line"]},
        "chords": {"chords": "Am F", "bpm": 120.0},
        "rhythm": {"rhythm": files["drums"]},
        "stronger": {"notes": files["line"], "notes_weight": 4.0},
        "part": {"notes": files["line"], "span": (0.0, 1.0)},
        "all": {"notes": files["line"], "chords": "Am", "bpm": 120.0, "rhythm": files["drums"]},
    }
    found = {name: played(name, **changes) for name, changes in asked.items()}
    assert len(set(found.values())) == len(found)
    assert played("unheard", notes=files["line"], notes_weight=0.0) == found["free"]


def test_bad_input_gets_one_line(
    asked_weights: Path, weights: Path, files: dict[str, Path], capsys: pytest.CaptureFixture
) -> None:
    files["text"] = files["mix"].with_name("text.mid")
    files["text"].write_text("no MIDI")
    before = sorted(files["mix"].parent.iterdir())
    for arguments, said in (
        (["--notes", files["high"]], "high.mid: none of its 2 notes can be a bass's, which lie between E1 and G4"),
        (["--notes", files["empty"]], "empty.mid: none of its 0 notes"),
        (["--notes", files["late"]], "late.mid: a note begins at 2.50 s, beyond its end: the mix is 2.00 s long"),
        (["--notes", files["text"]], "text.mid: not a readable MIDI file"),
        (["--notes", files["mix"].with_name("none.mid")], "none.mid: cannot read"),
        (["--rhythm", files["empty"]], "empty.mid: holds no notes"),
        (["--rhythm", files["late"]], "late.mid: a note begins at 2.50 s"),
        (["--chords", "Am H", "--bpm", 120], "'H' is not expected"),
        (["--chords", "Am | F", "--bpm", 120], "2 bars, and the mix has 1"),
        (["--chords", "Am", "--bpm", 1], "--bpm takes 20 to 400"),
        (["--bpm", 120], "--bpm counts the bars of --chords"),
        (["--span", 0, 1], "--span says where"),
        (["--notes", files["line"], "--span", 5, 6], "span 5 to 6 s"),
        (["--notes", files["line"], "--midi", "-o", files["line"].with_suffix(".wav")], "overwrite the input"),
        (["--notes", files["line"], "--weights", weights], "these weights were trained without notes"),
    ):
        command = ["generate", files["mix"], "--steps", 1, "--quiet", "--weights", asked_weights, *arguments]
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
            patch.setattr(sys, "argv", [*map(str, command)])
            generate_module.main()
        error = capsys.readouterr().err
        assert stop.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
        assert said in error, error
    assert sorted(files["mix"].parent.iterdir()) == before


def test_which_of_overlapping_notes_is_kept_is_said(files: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    warn_once.cache_clear()
    line = read_notes(files["chord"], 2.0)
    assert [(note.pitch, round(note.start, 2), round(note.end, 2)) for note in line] == [(40, 0, 0.5), (33, 0.5, 1.2)]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(text.startswith(f"warning: {files['chord']}: ") for text in said)
    assert "of 4 notes 1 are not between E1 and G4" in said[0]
    assert "overlap, first at 0.50 s" in said[1] and "the lowest is kept" in said[1]
    legato = (Note(0, 1.01, 40), Note(1, 2, 41))
    assert [note.end for note in bass_line(legato, "legato")] == [1, 2] and not capsys.readouterr().err


# Training


def truth() -> dict[str, np.ndarray]:
    """Sixteen bars of 120 BPM with a note on every beat."""
    notes = [(0.5 * beat, 0.5 * beat + 0.4, 28 + beat % 12) for beat in range(64)]
    chords = np.zeros((16, 14))
    chords[:, 0], chords[:, 1], chords[:, 2] = 2.0 * np.arange(16), 2.0 * np.arange(16) + 2, 1
    return {"notes": np.array(notes), "chords": chords, "bars": np.arange(0, 32, 2.0)}


def test_training_asks_for_each_kind_half_of_the_time_in_spans_of_bars() -> None:
    frames, first, bars = 256, 20, truth()["bars"]
    whole = [training_planes(truth(), first, frames, np.random.default_rng(seed)) for seed in range(250)]
    full = Conditions(rhythm=truth()["notes"][:, 0]).planes(first + frames)[RHYTHM, first:]
    shares, edges = np.zeros(3), set(np.round(bars / FRAME) - first) | {0, frames}
    for found in whole:
        for index, kind in enumerate(KINDS):
            given = found[kind][-1] > 0
            shares[index] += given.any() / len(whole)
            assert not found[kind][:, ~given].any()  # nothing is told outside the mask
            turns = [0, *(np.flatnonzero(np.diff(given)) + 1), frames]
            assert set(turns) <= edges
            assert all(1 <= round(length * FRAME / 2) <= 4 for length in np.diff(turns[1:-1]))
        given = found[RHYTHM][-1] > 0
        np.testing.assert_array_equal(found[RHYTHM][:, given], full[:, given])
    assert np.abs(shares - 0.8 * 0.5).max() < 0.1
    nothing = np.mean([not found.any() for found in whole])
    assert nothing == pytest.approx(0.2 + 0.8 / 8, abs=0.08)
    throughout = np.mean([found[NOTES][-1].all() for found in whole])
    assert throughout == pytest.approx(0.8 * 0.25, abs=0.08)
    again = training_planes(truth(), first, frames, np.random.default_rng(5))
    np.testing.assert_array_equal(again, whole[5])


def test_what_is_unknown_is_not_asked_for() -> None:
    nothing = {"notes": np.zeros((0, 3)), "chords": np.zeros((0, 14)), "bars": np.zeros(0)}
    for kept in ("notes", "chords"):
        some = {**nothing, kept: truth()[kept]}
        found = sum(training_planes(some, 0, 64, np.random.default_rng(seed)) for seed in range(30))
        assert [bool(found[kind].any()) for kind in KINDS] == [kept == "notes", kept == "chords", kept == "notes"]


@pytest.fixture()
def clips(song: Song, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Autoencoder]]:
    """Two renderings of the made song in place of a split, a cache of their own, and autoencoders."""
    requests = [ClipRequest(song, seed, 64 * 4096) for seed in range(2)]
    monkeypatch.setattr(latents, "training_requests", lambda *_, **__: requests)
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    yield [Autoencoder(PRESETS["tiny"].autoencoders[which]) for which in ("mix", "bass")]


def test_the_truth_lies_beside_the_latents_and_older_ones_are_encoded_again(
    clips: list[Autoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = song_latents("made", *clips, frames=48, notes=True, progress=False)
    plain = LatentPairs(pairs.paths, 48)
    for seed in range(4):
        one, other = (np.random.default_rng([seed, 0]) for _ in range(2))
        (name, mix, bass), (same, alone, real) = pairs.example(one), plain.example(other)
        assert name == same and mix.shape == (16 + PLANES, 48)
        assert np.array_equal(mix[:16], alone) and np.array_equal(bass, real)
        assert one.random() == other.random()  # what is drawn later is the same

    encoded = []
    encode = latents.encode_pair
    monkeypatch.setattr(latents, "encode_pair", lambda *given: encoded.append(1) or encode(*given))
    for version in (None, 0):
        with np.load(pairs.paths[0]) as file:
            kept = {name: file[name] for name in ("mix", "bass", *latents._TRUTH)}
        about = {} if version is None else {"truth_version": np.array(version)}
        np.savez(pairs.paths[0], **kept, **about)
        latents._read.cache_clear(), latents._truth.cache_clear()
        song_latents("made", *clips, frames=48, progress=False)
        assert not encoded  # without notes they are whole
        again = song_latents("made", *clips, frames=48, notes=True, progress=False)
        assert encoded == [1] and again.example(np.random.default_rng(0))[1].shape[0] == 16 + PLANES
        encoded.clear()


def test_training_without_any_known_note_is_refused(clips: list[Autoencoder], monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"notes": np.zeros((0, 3)), "chords": np.zeros((0, 14)), "bars": np.zeros(0)}
    monkeypatch.setattr(latents, "known", lambda clip: empty)
    with pytest.raises(BadInputError, match="of none of 2 clips notes or chords are known"):
        song_latents("made", *clips, frames=48, notes=True, progress=False)


def test_what_is_known_of_a_clip(song: Song) -> None:
    clip = ClipRequest(song, 0, 64 * 4096).render()
    found = known(clip)
    assert found["notes"].shape == (len(clip.bass_notes), 3) and found["chords"].shape == (len(clip.chords), 14)
    assert found["notes"][0, 2] == clip.bass_notes[0].pitch and np.allclose(found["bars"], clip.downbeats)
    assert set(np.flatnonzero(found["chords"][0, 2:])) == set(clip.chords[0].pitch_classes)


@dataclasses.dataclass(frozen=True)
class AskedMelodies(Melodies):
    """Melodies whose first note plane is the bass's first dimension, which the mix does not hold."""

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        name, mix, bass = super().example(generator)
        planes = np.zeros((PLANES, self.frames))
        planes[0] = bass[0]
        mix[0] = 0
        return name, np.concatenate([mix, planes]), bass


def test_a_run_with_notes_resumes_and_learns_to_follow(tmp_path: Path) -> None:
    changes = {"notes": True, "steps": 12, "learning_rate": 8e-3, "ema": 0.8}
    whole = train(config(tmp_path / "whole", **changes), AskedMelodies(), AskedMelodies())
    assert whole.config.note_planes == PLANES and whole.note_input.weight.abs().max() > 0
    last = log(tmp_path / "whole")[-1]
    assert last["validation_loss_notes"] < last["validation_loss"]

    cut, stopped = config(tmp_path / "cut", **changes), AskedMelodies(poison_after=4 + 7 * 4)
    with pytest.raises(BadInputError, match="not finite"):
        train(cut, stopped, AskedMelodies())
    resumed = train(cut, AskedMelodies(), AskedMelodies())
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(BadInputError, match="notes was True, is False"):
        train(dataclasses.replace(cut, notes=False), Melodies(), Melodies())


def test_a_run_with_notes_starts_from_weights_without(tmp_path: Path) -> None:
    awake(PRESETS["tiny"].unet).save_pretrained(tmp_path / "first.safetensors")
    start = {"initial": tmp_path / "first.safetensors", "steps": 1, "learning_rate": 1e-12}
    second = train(config(tmp_path / "second", notes=True, **start), AskedMelodies(), AskedMelodies())
    noisy, level, mix, notes = inputs()
    expected = UNet.from_pretrained(start["initial"])(noisy, level, mix)
    torch.testing.assert_close(second(noisy, level, torch.cat([mix, notes], 1)), expected, atol=1e-5, rtol=1e-4)
    back = config(tmp_path / "back", **{**start, "initial": tmp_path / "second/unet.safetensors"})
    with pytest.raises(BadInputError, match="weights to start from"):
        train(back, Melodies(), Melodies())
