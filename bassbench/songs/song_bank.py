"""The song bank: MIDI arrangements whose chords, key, tempo and bars are known exactly.

Splits `train`, `validation` and `test` were composed (`bassbench.songs.compose`); no groove component and no
progression template is in two of them. `train-large` is `train` and twice as many further songs: the same grooves, but
every song over chords of its own, drawn at random. `human` holds pieces written by people, for testing only: their
chords and keys are unknown. In every song the bass is one instrument named "bass" (General MIDI program 32 to 39, never
two notes at once, E1 to G3); the others are named by their role ("chord", "walk", "drum").
"""

import lzma
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bassbench.errors import BadInputError, unknown_name
from bassbench.files import parse_json

SPLITS = ("train", "validation", "test", "human", "train-large")
DATA = Path(__file__).parent.parent / "data"

# Semitones above the root, by chord suffix.
QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "5": (0, 7),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "M7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "mM7": (0, 3, 7, 11),
    "dim7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10),
    "7sus4": (0, 5, 7, 10),
    "7b9": (0, 1, 4, 7, 10),
    "7#9": (0, 3, 4, 7, 10),
    "7#5": (0, 4, 8, 10),
    "add9": (0, 2, 4, 7),
    "9": (0, 2, 4, 7, 10),
    "M9": (0, 2, 4, 7, 11),
    "m9": (0, 2, 3, 7, 10),
    "13": (0, 4, 7, 9, 10),
    "69": (0, 2, 4, 7, 9),
}
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Chord:
    """A chord from `start` to `end` seconds; `root` and `pitch_classes` count semitones above C (0 to 11)."""

    start: float
    end: float
    symbol: str
    root: int
    pitch_classes: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """A part of the form, from `start` to `end` seconds: its label ("A", "intro") and its groove."""

    start: float
    end: float
    label: str
    groove: str


@dataclass(frozen=True)
class Song:
    """One arrangement. Times are seconds from its start; `tempo` is in beats a minute.

    `key` is "" and `chords` and `sections` are empty where unknown (the human split). `window` is the start
    of a well-filled 23.8 s stretch of a human piece and 0.0 in the bank, where every stretch is well filled.
    """

    name: str
    split: str
    midi: bytes
    tempo: float
    key: str
    beats_per_bar: int
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    component: str
    progression: str
    duration: float
    window: float


def parse_chord(symbol: str) -> tuple[int, tuple[int, ...]]:
    """Root and pitch classes (0 to 11, root first) of a symbol such as "F#m7b5"; `ValueError` if unknown."""
    shift, length = 0, 1
    while symbol[length : length + 1] in ("#", "b"):
        shift, length = shift + (1 if symbol[length] == "#" else -1), length + 1
    letter, suffix = symbol[:1], symbol[length:]
    if letter not in _LETTERS or suffix not in QUALITIES:
        raise ValueError(f"unknown chord {symbol!r}")
    root = (_LETTERS[letter] + shift) % 12
    return root, tuple((root + interval) % 12 for interval in QUALITIES[suffix])


def load_songs(split: str) -> list[Song]:
    """All songs of a split, sorted by name.

    Raises `BadInputError` for an unknown split or a missing or damaged bank.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    archive = DATA / ("human.zip" if split == "human" else "song_bank.zip")
    try:
        with zipfile.ZipFile(archive) as bank:
            members = ("train", "train-more") if split == "train-large" else (split,)
            entries = [entry for name in members for entry in parse_json(bank.read(f"{name}.json"))]
            midi = b"".join(bank.read(f"{name}.midi") for name in members)
    except (OSError, EOFError, KeyError, ValueError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{archive}: cannot be read ({error}); install bassbench again") from error
    songs, position = [], 0
    for entry in entries:
        size = entry["midi_bytes"]
        songs.append(_song(entry, split, midi[position : position + size]))
        position += size
    return sorted(songs, key=lambda song: song.name)


def _song(entry: dict[str, Any], split: str, midi: bytes) -> Song:
    """A song from its index entry: the human split lists its times, the bank counts beats at one tempo."""
    if split == "human":
        times: dict[str, Any] = {
            "beats": tuple(entry["beats"]),
            "downbeats": tuple(entry["downbeats"]),
            "chords": (),
            "sections": (),
            "duration": entry["duration"],
        }
    else:
        times = _counted_times(entry)
    return Song(
        name=entry["name"],
        split=split,
        midi=midi,
        tempo=float(entry["tempo"]),
        key=entry["key"],
        beats_per_bar=entry["beats_per_bar"],
        component=entry["component"],
        progression=entry["progression"],
        window=float(entry["window"]),
        **times,
    )


def _counted_times(entry: dict[str, Any]) -> dict[str, Any]:
    """Beats, downbeats, chords and sections in seconds, from the index's beat and bar numbers."""
    beat = 60.0 / entry["tempo"]
    beats_per_bar = entry["beats_per_bar"]
    count = entry["bars"] * beats_per_bar
    starts = [start for start, _ in entry["chords"]] + [count]
    bars = [bar for bar, _, _ in entry["sections"]] + [entry["bars"]]
    return {
        "beats": tuple(index * beat for index in range(count)),
        "downbeats": tuple(index * beat for index in range(0, count, beats_per_bar)),
        "chords": tuple(
            Chord(start * beat, end * beat, symbol, *parse_chord(symbol))
            for (start, symbol), end in zip(entry["chords"], starts[1:], strict=True)
        ),
        "sections": tuple(
            Section(start * beats_per_bar * beat, end * beats_per_bar * beat, label, groove)
            for (start, label, groove), end in zip(entry["sections"], bars[1:], strict=True)
        ),
        "duration": count * beat,
    }
