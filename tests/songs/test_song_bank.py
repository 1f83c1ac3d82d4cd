"""The song bank: what a split holds, that nothing leaks between splits, that chords and bass tell the truth."""

import io
import itertools
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from bassbench.errors import BadInputError
from bassbench.songs import song_bank
from bassbench.songs.compose.progressions import MAJOR_KEYS, MINOR_KEYS, TEMPLATES, families, spell
from bassbench.songs.song_bank import QUALITIES, SPLITS, Song, load_songs, parse_chord

BANK = ("train", "validation", "test")
LEAST = {"train": 1900, "validation": 140, "test": 230}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Song]]:
    return {split: load_songs(split) for split in SPLITS}


@pytest.fixture(scope="module")
def sample(splits: dict[str, list[Song]]) -> list[tuple[Song, pretty_midi.PrettyMIDI]]:
    """Songs from all over each split, with their MIDI read."""
    songs = [song for split in SPLITS for song in splits[split][:: max(len(splits[split]) // 16, 1)]]
    return [(song, pretty_midi.PrettyMIDI(io.BytesIO(song.midi))) for song in songs]


def test_counts(splits: dict[str, list[Song]]) -> None:
    assert all(len(splits[split]) >= LEAST[split] for split in BANK)
    assert sum(len(splits[split]) for split in BANK) >= 2000
    assert len(splits["human"]) == 73
    assert len(splits["train-large"]) > 2.9 * len(splits["train"])


def test_songs_come_sorted_and_belong_to_their_split(splits: dict[str, list[Song]]) -> None:
    for split, songs in splits.items():
        names = [song.name for song in songs]
        assert names == sorted(names) and len(set(names)) == len(names)
        assert {song.split for song in songs} == {split}


@pytest.mark.parametrize("field", ["name", "component", "progression", "midi"])
def test_nothing_is_in_two_splits(splits: dict[str, list[Song]], field: str) -> None:
    values = [{getattr(song, field) for song in splits[split]} for split in BANK]
    assert not values[0] & values[1] and not values[0] & values[2] and not values[1] & values[2]


def test_the_large_training_split_is_train_and_more_of_its_grooves_over_other_chords(
    splits: dict[str, list[Song]],
) -> None:
    midi = {song.midi for song in splits["train"]}
    more = [song for song in splits["train-large"] if song.midi not in midi]
    assert len(more) == len(splits["train-large"]) - len(splits["train"])
    assert {song.component for song in more} <= {song.component for song in splits["train"]}
    assert len({song.progression for song in more}) == len(more)
    assert not {song.progression for song in more} & {song.progression for split in BANK for song in splits[split]}


def test_groove_files_are_in_one_split_and_one_component(splits: dict[str, list[Song]]) -> None:
    home: dict[str, tuple[str, str]] = {}
    for split in BANK:
        for song in splits[split]:
            for section in song.sections:
                file = section.groove.split(":")[0]
                assert home.setdefault(file, (split, song.component)) == (split, song.component)


def test_templates_that_share_a_phrase_are_in_one_split(splits: dict[str, list[Song]]) -> None:
    family = families(TEMPLATES)
    used = [{family[song.progression] for song in splits[split]} for split in BANK]
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_chords_and_sections_cover_the_song(splits: dict[str, list[Song]]) -> None:
    for split in BANK:
        for song in splits[split]:
            for parts in (song.chords, song.sections):
                assert parts[0].start == 0 and parts[-1].end == pytest.approx(song.duration)
                assert all(a.end == b.start for a, b in itertools.pairwise(parts))
            assert 32 <= song.duration <= 40 and 72 <= song.tempo <= 150 and song.beats_per_bar in (3, 4)
            assert len(song.beats) == len(song.downbeats) * song.beats_per_bar
            assert song.beats[1] == pytest.approx(60 / song.tempo)


def test_keys_metres_and_bass_programs_vary_in_every_split(splits: dict[str, list[Song]]) -> None:
    keys = {f"{key} major" for key in MAJOR_KEYS} | {f"{key} minor" for key in MINOR_KEYS}
    for split in BANK:
        songs = splits[split]
        assert {song.key for song in songs} == keys
        assert {song.beats_per_bar for song in songs} == {3, 4}
        assert len({section.label for song in songs for section in song.sections}) >= 4
        bass = [
            next(t.program for t in pretty_midi.PrettyMIDI(io.BytesIO(s.midi)).instruments if t.name == "bass")
            for s in songs[: 40 if split == "train" else 60]
        ]
        assert set(bass) == set(range(32, 40))


def test_the_bass_is_one_clean_line(sample: list[tuple[Song, pretty_midi.PrettyMIDI]]) -> None:
    for song, midi in sample:
        low = [track for track in midi.instruments if not track.is_drum and track.program in range(32, 40)]
        assert [track.name for track in low] == ["bass"], song.name
        assert [track.name for track in midi.instruments].count("bass") == 1
        assert len(midi.instruments) >= 3 and len({t.name for t in midi.instruments}) == len(midi.instruments)
        notes = low[0].notes
        assert len(notes) >= 16 and not low[0].pitch_bends
        assert all(28 <= note.pitch <= 55 for note in notes)
        assert all(a.end <= b.start + 1e-3 for a, b in itertools.pairwise(notes)), song.name
        assert midi.get_end_time() <= song.duration + 0.02


def test_the_bass_plays_the_chords(sample: list[tuple[Song, pretty_midi.PrettyMIDI]]) -> None:
    """A wrong bar offset or key would show: roots on downbeats, chord tones on beats."""
    roots, tones, shifted = [], [], []
    for song, midi in sample:
        if song.split == "human":
            continue
        starts = np.array([chord.start for chord in song.chords])
        for note in next(track for track in midi.instruments if track.name == "bass").notes:
            place = round(note.start * song.tempo / 60)
            if abs(note.start - place * 60 / song.tempo) > 0.05:
                continue
            index = int(np.searchsorted(starts, place * 60 / song.tempo + 1e-6, side="right")) - 1
            tones.append(note.pitch % 12 in song.chords[index].pitch_classes)
            shifted.append(note.pitch % 12 in song.chords[(index + 1) % len(starts)].pitch_classes)
            if place % song.beats_per_bar == 0:
                roots.append(note.pitch % 12 == song.chords[index].root)
    assert np.mean(tones) > 0.8 and np.mean(roots) > 0.75
    assert np.mean(shifted) < 0.6


def test_human_windows_are_filled(splits: dict[str, list[Song]]) -> None:
    for song in splits["human"]:
        midi = pretty_midi.PrettyMIDI(io.BytesIO(song.midi))
        bass = next(track for track in midi.instruments if track.name == "bass")
        seconds = np.zeros(int(song.duration) + 30)
        for note in bass.notes:
            seconds[int(note.start) : int(np.ceil(note.end))] = 1
        assert 0 <= song.window <= song.duration - 23.5
        assert np.mean(seconds[int(song.window) : int(song.window) + 24]) >= 0.75
        assert song.key == "" and song.chords == () and song.sections == ()
        assert np.allclose(midi.get_beats()[: len(song.beats)], song.beats, atol=0.01)
        assert len(song.downbeats) > 4 and set(song.downbeats) <= set(song.beats)


def test_unknown_split_and_missing_bank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="dev"):
        load_songs("dev")
    monkeypatch.setattr(song_bank, "DATA", tmp_path)
    with pytest.raises(BadInputError, match=r"song_bank\.zip"):
        load_songs("test")


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
def test_damaged_bank_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str) -> None:
    whole = (song_bank.DATA / "human.zip").read_bytes()
    middle = len(whole) // 2
    damaged = {"cut": whole[:5000], "overwritten": whole[:middle] + bytes(200) + whole[middle + 200 :], "empty": b""}
    (tmp_path / "human.zip").write_bytes(damaged[damage])
    monkeypatch.setattr(song_bank, "DATA", tmp_path)
    with pytest.raises(BadInputError, match=r"human\.zip"):
        load_songs("human")


@pytest.mark.parametrize(
    ("symbol", "root", "classes"),
    [
        ("C", 0, {0, 4, 7}),
        ("F#m7b5", 6, {6, 9, 0, 4}),
        ("Bb7b9", 10, {10, 2, 5, 8, 11}),
        ("Cb", 11, {11, 3, 6}),
        ("G#dim", 8, {8, 11, 2}),
    ],
)
def test_parse_chord(symbol: str, root: int, classes: set[int]) -> None:
    assert parse_chord(symbol) == (root, parse_chord(symbol)[1]) and set(parse_chord(symbol)[1]) == classes


@pytest.mark.parametrize("symbol", ["", "H", "Cx", "c"])
def test_unknown_chords_are_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="unknown chord"):
        parse_chord(symbol)


@pytest.mark.parametrize(
    ("numeral", "key", "symbol"),
    [
        ("I", "C major", "C"),
        ("bVI7", "E minor", "C7"),
        ("V7b9", "D minor", "A7b9"),
        ("iih7", "G minor", "Am7b5"),
        ("#ivo7", "F major", "Bdim7"),
        ("bVII", "B major", "A"),
        ("i", "G# minor", "G#m"),
    ],
)
def test_spelling(numeral: str, key: str, symbol: str) -> None:
    assert spell(numeral, key) == symbol


def test_every_template_can_be_spelled_in_every_key() -> None:
    for template in TEMPLATES:
        for tonic in MAJOR_KEYS if template.mode == "major" else MINOR_KEYS:
            for bar in (bar for phrase in template.phrases for bar in phrase):
                assert 1 <= len(bar) <= 2
                assert all(parse_chord(spell(numeral, f"{tonic} {template.mode}")) for numeral in bar)
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES) >= 100
    assert all(intervals[0] == 0 for intervals in QUALITIES.values())
