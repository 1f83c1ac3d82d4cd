"""The composing tool's pure parts: bass cleaning, groove components, form; MMA itself is not needed."""

import io
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from bassbench.songs.compose.__main__ import write_bank
from bassbench.songs.compose.bass_line import fit_register, merge_by_role, monophonic, simultaneous_share
from bassbench.songs.compose.freedoom import best_window, human_song
from bassbench.songs.compose.grooves import Groove, components, split_bass, without_twins
from bassbench.songs.compose.progressions import MAJOR_KEYS, MINOR_KEYS, TEMPLATES, drawn_template, families, spell
from bassbench.songs.compose.song import chord_share, clean, draw_plan, index_entry, mma_text
from bassbench.songs.compose.splits import Slot, deal, weight
from bassbench.songs.song_bank import parse_chord


def note(start: float, end: float, pitch: int) -> pretty_midi.Note:
    return pretty_midi.Note(100, pitch, start, end)


def groove(file: str, *patterns: tuple[int, ...], density: float = 1.0, beats: int = 4) -> Groove:
    return Groove(file, "Main", "main", beats, dict.fromkeys(patterns, 4), density, 0.0, 3)


def slot() -> Slot:
    return Slot("test-0000-a", "test", 7, 33, 4, "lib/a", (groove("lib/a", (0, 24)),), (), TEMPLATES)


def track(name: str, program: int, notes: list[pretty_midi.Note], drum: bool = False) -> pretty_midi.Instrument:
    instrument = pretty_midi.Instrument(program, drum, name)
    instrument.notes = notes
    return instrument


def test_monophonic_keeps_the_lowest_and_cuts_overlaps() -> None:
    line = monophonic([note(0, 2, 40), note(0.01, 1, 36), note(1, 2, 43), note(1.99, 3, 45), note(2.5, 2.51, 50)])
    assert [(n.start, round(n.end, 2), n.pitch) for n in line] == [(0, 1, 36), (1, 1.99, 43), (1.99, 2.5, 45)]


def test_simultaneous_share() -> None:
    assert simultaneous_share([note(0, 1, 40), note(0, 1, 44), note(1, 2, 40)]) == 0.5
    assert simultaneous_share([]) == simultaneous_share([note(0, 1, 40)]) == 0.0


@pytest.mark.parametrize("octave", [-24, -12, 0, 12, 24, 36])
def test_fit_register_moves_whole_lines(octave: int) -> None:
    line = [note(i, i + 1, pitch + octave) for i, pitch in enumerate((33, 36, 40, 45))]
    assert fit_register(line) == 0.0
    assert [n.pitch for n in line] == [33, 36, 40, 45]


def test_fit_register_folds_what_sticks_out() -> None:
    line = [note(i, i + 1, pitch) for i, pitch in enumerate((36, 38, 40, 67))]
    assert fit_register(line) == 0.25
    assert all(28 <= n.pitch <= 55 for n in line) and line[3].pitch % 12 == 67 % 12


def test_merge_by_role_numbers_joins_and_limits() -> None:
    many = [track(f"Chord-{i}", i, [note(j, j + 1, 60) for j in range(5)]) for i in range(30)]
    drums = [track(f"Drum-{i}", 0, [note(j, j + 1, 40) for j in range(3)], drum=True) for i in range(3)]
    merged = merge_by_role([*many, *drums, track("Chord-Extra", 0, [note(9, 10, 60)])])
    assert len(merged) == 15 and len({t.name for t in merged}) == 15
    assert merged[-1].name == "drum" and len(merged[-1].notes) == 9
    assert {t.name for t in merged} >= {"chord", "chord 2", "chord 14"}


def test_split_bass_leaves_no_second_bass() -> None:
    bass = track("Bass", 32, [note(i, i + 1, 36) for i in range(8)])
    tuba = track("Walk", 58, [note(i, i + 1, 38) for i in range(12)])
    double = track("Chord-Double", 0, [note(i, i + 1, 60) for i in range(8)])
    riff = track("Bass-Guitar", 27, [note(i + 0.5, i + 1, 64) for i in range(8)])
    slap = track("Arpeggio", 36, [note(i, i + 1, 50) for i in range(8)])
    midi = pretty_midi.PrettyMIDI()
    midi.instruments = [bass, tuba, double, riff, slap]
    notes, others = split_bass(midi, 4.0)
    # The tuba takes over only where the bass rests: from the third bar.
    assert [n.pitch for n in notes] == [36] * 8 + [38] * 4
    assert [t.name for t in others] == ["riff"]


def test_components_join_rhythmic_twins_transitively() -> None:
    a, b, c, d = ((0, 24), (0, 12), (6, 18), (3,))
    found = [groove("a", a, b), groove("b", a, b, c), groove("c", b, a, c, d), groove("d", d)]
    assert components(found) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert [g.file for g in without_twins(found[2:], found[:2])] == ["d"]


def test_deal_keeps_large_groups_in_training() -> None:
    groups = {f"g{i:02d}": [str(i)] for i in range(14)} | {"large": ["x", "y", "z"]}
    splits = deal(groups, lambda root: root)
    assert splits["large"] == "train"
    assert [list(splits.values()).count(name) for name in ("train", "validation", "test")] == [9, 2, 4]


def test_dense_grooves_weigh_more() -> None:
    walking = groove("a", (0, 12, 24, 36))
    walking = Groove(**{**walking.__dict__, "patterns": {(0, 12, 24, 36): 16}})
    assert weight(groove("a", (0, 24), density=0.5)) < weight(walking) < weight(groove("a", (0, 6, 18)))


def test_plans_last_as_long_as_promised_and_start_from_the_seed() -> None:
    for seed in range(40):
        plan = draw_plan(slot(), np.random.default_rng(seed))
        assert plan == draw_plan(slot(), np.random.default_rng(seed))
        assert 32 <= len(plan.bars) * plan.beats_per_bar * 60 / plan.tempo <= 40
        text = mma_text(plan, seed)
        assert f"KeySig {plan.key if 'minor' in plan.key else plan.key.split()[0]}\n" in text
        assert text.splitlines()[-1].startswith(f"{len(plan.bars)} ")
        entry = index_entry(slot(), plan)
        starts = [start for start, _ in entry["chords"]]
        assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < entry["bars"] * 4


def test_clean_writes_the_bass_and_refuses_wrong_ones(tmp_path: Path) -> None:
    plan = draw_plan(slot(), np.random.default_rng(0))
    beat = 60 / plan.tempo
    places = [(i * 4 + j, bar.chords[-1 if j == 2 else 0]) for i, bar in enumerate(plan.bars) for j in (0, 2)]
    line = [note(place * beat, (place + 1.5) * beat, 36 + parse_chord(chord)[0]) for place, chord in places]
    midi = pretty_midi.PrettyMIDI(resolution=192, initial_tempo=plan.tempo)
    chords = track("Chord", 4, [note(place * beat, (place + 1) * beat, 67) for place, _ in places])
    drums = track("Drum", 0, [note(place * beat, (place + 1) * beat, 38) for place, _ in places], drum=True)
    midi.instruments = [track("Bass", 58, line), chords, drums]
    midi.write(str(tmp_path / "right.mid"))
    made = clean(tmp_path / "right.mid", slot(), plan)
    assert made is not None
    back = pretty_midi.PrettyMIDI(io.BytesIO(made))
    assert [t.name for t in back.instruments] == ["bass", "chord", "drum"]
    assert back.instruments[0].program == 33 and len(back.instruments[0].notes) == len(line)
    assert chord_share(line, plan) > 0.99
    for low in line:
        low.pitch += 1
    midi.write(str(tmp_path / "wrong.mid"))
    assert clean(tmp_path / "wrong.mid", slot(), plan) is None


def test_archives_of_the_same_songs_are_the_same_bytes(tmp_path: Path) -> None:
    songs = {"human": [({"name": "a", "midi_bytes": 3}, b"abc")]}
    for name in ("one.zip", "two.zip"):
        write_bank(tmp_path / name, songs)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_best_window_wants_bass_and_rest() -> None:
    rest = [note(0, 100, 60)]
    assert best_window([note(40, 80, 40)], rest) == 40.0
    assert best_window([note(40, 50, 40)], rest) is None
    assert best_window([note(40, 80, 40)], [note(0, 30, 60)]) is None


def test_human_song_joins_bass_channels(tmp_path: Path) -> None:
    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    midi.instruments = [
        track("Track title", 33, [note(i, i + 0.9, 40) for i in range(15)]),
        track("", 38, [note(i, i + 0.9, 52) for i in range(15, 30)]),
        track("By somebody", 29, [note(i, i + 1, 64) for i in range(30)]),
        track("", 0, [note(i, i + 1, 42) for i in range(30)], drum=True),
    ]
    midi.write(str(tmp_path / "piece.mid"))
    made = human_song(tmp_path / "piece.mid")
    assert made is not None
    entry, content = made
    back = pretty_midi.PrettyMIDI(io.BytesIO(content))
    assert [t.name for t in back.instruments] == ["bass", "guitar", "drum"]
    assert len(back.instruments[0].notes) == 30 and entry["window"] == 0.0 and entry["tempo"] == 100.0
    assert [n.start for n in back.instruments[0].notes] == pytest.approx(list(range(30)), abs=0.01)


def test_drawn_progressions_can_be_spelt_and_share_no_phrase_with_held_out_templates() -> None:
    generator = np.random.default_rng(0)
    drawn = [drawn_template(f"drawn_{index}", generator, TEMPLATES) for index in range(200)]
    assert {template.mode for template in drawn} == {"major", "minor"}
    assert {len(phrase) for template in drawn for phrase in template.phrases} == {4, 8}
    for template in drawn[:40]:
        for tonic in MAJOR_KEYS if template.mode == "major" else MINOR_KEYS:
            for numeral in {numeral for phrase in template.phrases for bar in phrase for numeral in bar}:
                parse_chord(spell(numeral, f"{tonic} {template.mode}"))
    roots = families([*TEMPLATES, *drawn])
    assert not {roots[template.name] for template in drawn} & {roots[template.name] for template in TEMPLATES}
