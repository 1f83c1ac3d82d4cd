"""Chord progressions of composed songs, in Roman numerals, from a table or drawn, and their spelling in a key.

Numerals count from the major scale in either mode (the minor key's submediant is bVI). Upper case is major,
lower case minor; what follows is the quality: none (triad), 6, 7, M7, 9, 13, h7 (half-diminished), o7, + ...

Of a few templates a model learns by heart which chord comes next; of progressions drawn anew for each song it has to
hear it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAJOR_KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
# MMA knows no Db minor key signature: the sharp spelling.
MINOR_KEYS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
_FLAT = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SHARP = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SHARP_KEYS = {"D", "E", "F#", "G", "A", "B", "E minor", "B minor", "F# minor", "C# minor", "G# minor"}
_SHARP_KEYS |= {f"{key} major" for key in _SHARP_KEYS if " " not in key}
_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_NUMERAL = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")
_UPPER = {
    "": "", "6": "6", "7": "7", "M7": "M7", "9": "9", "M9": "M9", "13": "13", "+": "aug", "5": "5",
    "s4": "sus4", "s2": "sus2", "7s4": "7sus4", "7b9": "7b9", "7#9": "7#9", "7#5": "7#5", "a9": "add9",
    "69": "69",
}  # fmt: skip
_LOWER = {
    "": "m", "7": "m7", "9": "m9", "6": "m6", "M7": "mM7", "h7": "m7b5", "o": "dim", "o7": "dim7",
}  # fmt: skip
# MMA's spelling where it differs from ours (its "dim" is a seventh chord).
MMA_SUFFIX = {"dim": "dim3"}


@dataclass(frozen=True)
class Template:
    """Two phrases, A and B, of bars of one or two chords in Roman numerals ("IV", "bVI7")."""

    name: str
    mode: str
    style: str
    phrases: tuple[tuple[tuple[str, ...], ...], ...]


# Name, mode, style, phrase A || phrase B.
_TABLE = """
axis            major pop   | I | V | vi | IV || IV | V | vi | V
axis_sixth      major pop   | vi | IV | I | V || ii | IV | I | V7s4 V
fifties         major pop   | I | vi | IV | V || IV | iv | I | V7
doo_wop         major pop   | I | vi7 | ii7 | V7 || I7 | IV | II7 | V7
canon           major pop   | I V | vi iii | IV I | IV V || vi | iii | IV | V7s4
royal_road      major pop   | IVM7 | V7 | iii7 | vi || ii7 | V7 | IM7 | I7
plagal          major pop   | I | IV | I | IV || vi | IV | I | V
three_chord     major pop   | I | IV | V | I || IV | I | V | V7
three_chord_two major pop   | I | I | IV | V || vi | V | IV | IV
folk_turn       major pop   | I | V | IV | I || vi | iii | IV | V
rising          major pop   | I | ii | iii | IV || V | IV | ii | V7
falling         major pop   | I | iii | IV | V || vi | V | IV | V7s4 V7
soft_sus        major pop   | Ia9 | Vs4 V | vi7 | IVM7 || ii7 | vi7 | IVM7 | V7s4
anthem          major pop   | IV | I | V | vi || IV | I | II7 | V
ballad_line     major pop   | I | III7 | vi | I7 || IV | iv6 | I | V7
ballad_seventh  major pop   | IM7 | iii7 | vi7 | IVM7 || ii7 | iii7 | IVM7 | V7s4
gospel_lift     major pop   | I | I7 | IV | iv || I | VI7 | II7 | V7
gospel_dim      major pop   | I I7 | IV #ivo7 | I VI7 | ii7 V7 || IV | I | II7 | V7s4
country_two     major pop   | I | I | V7 | I || IV | I | II7 | V7
country_long    major pop   | I | I | I | V7 | IV | IV | V7 | I || IV | I | V7 | I
campfire        major pop   | I | IV | I | V7 || IV | V | iii | vi
borrowed_six    major pop   | I | bVI | bVII | I || IV | iv | I | bVII
borrowed_iv     major pop   | I | IV | iv | I || bVI | bVII | I | V
mario           major pop   | I | bVII | IV | I || bVI | bVII | IV | V
hymn            major pop   | I V | vi IV | I V7 | I || IV I | ii V | vi IV | V
sunny           major pop   | I | vi | ii | V || iii | vi | IV | V7
eight_bar_pop   major pop   | I | V | vi | iii | IV | I | ii | V || vi | vi | IV | V
eight_bar_soul  major pop   | I | iii7 | IV | V | I | III7 | vi | V7 || IVM7 | iii7 | ii7 | V7s4
motown          major pop   | I | I | ii7 | V || iii7 | vi7 | ii7 | V7
steps_up        major pop   | IV | V | I | vi || ii | iii | IV | V
chromatic_up    major pop   | I | #io7 | ii7 | V7 || iii7 | biiio7 | ii7 | V7
major_mediant   major pop   | I | III | IV | iv || I | III | vi | V
sixth_chords    major pop   | I6 | ii7 | IV6 | V7 || vi | II7 | ii7 | V7
aug_climb       major pop   | I | I+ | I6 | I7 || IV | iv6 | I | V7
pedal_sus       major pop   | I | Is4 | I | Is2 || V | Vs4 | IV | V
waltz_home      major pop   | I | I | V7 | V7 | V7 | V7 | I | I || IV | IV | I | V7
waltz_round     major pop   | I | vi | ii | V7 | I | VI7 | ii | V7 || IV | iv | I | VI7 | II7 | V7 | I | V7
mixo_rock       major modal | I | bVII | IV | IV || I | V | bVII | IV
mixo_two        major modal | I7 | I7 | bVII | bVII || IV | IV | bVII | I
mixo_vamp       major modal | I9 | I9 | v7 | I9 || IV9 | IV9 | v7 | I9
lydian          major modal | IM7 | II | IM7 | II || vi7 | II | iii7 | II
lydian_float    major modal | IM9 | IM9 | II | II || vii7 | iii7 | vi7 | II
flat_seven      major modal | I | I | bVII | I || bIII | IV | bVII | I
double_plagal   major modal | bVII | IV | I | I || bVI | bIII | bVII | IV
two_five        major jazz  | ii7 | V7 | IM7 | IM7 || iii7 | VI7 | ii7 | V7
two_five_quick  major jazz  | IM7 VI7 | ii7 V7 | iii7 VI7 | ii7 V7 || IVM7 | iv7 bVII7 | iii7 VI7 | ii7 V7
turnaround      major jazz  | IM7 | vi7 | ii7 | V7 || III7 | VI7 | II7 | V7
tritone_turn    major jazz  | I6 | bIII7 | bVIM7 | bII7 || IM7 | vi9 | ii9 | V13
tritone_sub     major jazz  | ii9 | bII7 | IM9 | vi7 || IVM7 | bVII9 | IM7 | VI7b9
back_door       major jazz  | IM7 | iv7 | bVII7 | IM7 || ii7 | V7 | IM7 | vi7
lady            major jazz  | IM7 | IM7 | iv7 | bVII7 || vi7 | II7 | ii7 | V7
a_train         major jazz  | I6 | I6 | II7 | II7 | ii7 | V7 | I6 | ii7 V7 || IVM7 | IVM7 | II7 | ii7 V7
satin           major jazz  | ii7 V7 | ii7 V7 | iii7 VI7 | iii7 VI7 || vi7 II7 | bvi7 bII7 | IM7 | IM7
all_fourths     major jazz  | vi7 | ii7 | V7 | IM7 | IVM7 | viih7 | III7 | vi7 || ii7 | V7 | IM7 | IM7
rhythm_changes  major jazz  | I6 vi7 | ii7 V7 | I6 VI7 | ii7 V7 || III7 | VI7 | II7 | V7
rhythm_two      major jazz  | IM7 #io7 | ii7 #iio7 | iii7 VI7 | ii7 V7 || I7 | IV6 #ivo7 | iii7 VI7 | ii7 V7
bossa_coast     major jazz  | IM7 | IM7 | II7 | II7 | ii7 | bII7 | IM7 | bII7 || bIIM7 | bIIM7 | ii7 | V7
bossa_drift     major jazz  | IM9 | bVII13 | IM9 | VI7b9 || ii9 | iv6 | iii7 | biiio7
cycle_dom       major jazz  | III7 | VI7 | II7 | V7 || IM7 | IVM7 | iii7 VI7 | ii7 V7
stella_like     major jazz  | #ivh7 | VII7b9 | iii7 | VI7 || ii7 | V7 | IM7 | I7
minor_iv_jazz   major jazz  | IM7 | I7 | IVM7 | iv6 || iii7 | vi7 | ii7 | V7b9
coltrane_step   major jazz  | IM7 bIII7 | bVIM7 VII7 | IIIM7 | V7 || ii7 | V7 | IM7 | IM7
parallel_majors major jazz  | IM7 | bIIIM7 | bVIM7 | bIIM7 || IVM7 | bVII7 | IM7 | V7s4
quartal         major jazz  | I69 | IV69 | I69 | V13 || vi9 | II13 | ii9 | V9
slow_change     major jazz  | IM9 | IM9 | ii9 | ii9 || IVM7 | iii7 | ii7 | V7s4
secondary_chain major jazz  | I | VII7 | III7 | VI7 || II7 | V7 | IM7 | V7#5
blues_twelve    major blues | I7 | I7 | I7 | I7 | IV7 | IV7 | I7 | I7 | V7 | IV7 | I7 | V7 || IV7 | I7 | II7 | V7
blues_quick     major blues | I7 | IV7 | I7 | I7 | IV7 | IV7 | I7 | I7 | V7 | IV7 | I7 | I7 V7 || IV7 | IV7 | I7 | V7
blues_jazz      major blues | I7 | IV7 | I7 | v7 I7 | IV7 | #ivo7 | I7 | VI7 | ii7 | V7 | I7 VI7 | ii7 V7 || IV9 | bVII9 | iii7 VI7b9 | ii7 V7
blues_eight     major blues | I7 | V7 | IV7 | IV7 | I7 | V7 | I7 | V7 || IV7 | IV7 | I7 | V7
blues_ninth     major blues | I9 | IV9 | I9 | I9 || IV9 | IV9 | V9 | IV9
blues_shuffle   major blues | I6 | I6 | IV6 | I6 || V7 | IV7 | I6 | V7
blues_gospel    major blues | I7 | III7 | IV7 | #ivo7 | I7 | V7 | I7 IV7 | I7 V7 || IV7 | iv6 | I7 | VI7
boogie          major blues | I7 | I7 | IV7 | I7 || IV7 | I7 | V7 | I7
funk_sharp_nine major blues | I7#9 | I7#9 | IV9 | I7#9 || bVII9 | IV9 | bIII7 | II7
rock_blues      major blues | I7 | bIII7 | IV7 | I7 || V7 | bVII7 | IV7 | I7
andalusian      minor pop   | i | bVII | bVI | V || iv | i | bVI | V7
epic            minor pop   | i | bVI | bIII | bVII || iv | bVI | i | bVII
epic_turn       minor pop   | bVI | bVII | i | i || bVI | bVII | bIII | V
minor_axis      minor pop   | i | bVII | bVI | bVII || bIII | bVII | iv | V
minor_three     minor pop   | i | iv | v | i || bVI | bIII | iv | v
minor_plain     minor pop   | i | iv | V7 | i || bVI | bIII | bVII | V7
minor_climb     minor pop   | i | bIII | iv | bVI || i | bIII | bVII | iv
minor_drop      minor pop   | i | v | bVI | bIII || iv | v | bVI | bVII
line_cliche     minor pop   | i | iM7 | i7 | i6 || iv7 | bVII7 | bIIIM7 | V7
minor_canon     minor pop   | i V | bVI bIII | iv i | iih7 V7 || bVI | bVII | i | V7
harmonic        minor pop   | i | V7 | i | V7 || iv | i | iih7 | V7
tango_like      minor pop   | i | i | V7 | V7 | V7 | V7 | i | i || iv | i | V7 | i
folk_minor      minor pop   | i | bVII | i | bVII || bIII | bVII | i | v
folk_ballad     minor pop   | i | bIII | bVII | i || bIII | bVI | iv | V7
neapolitan      minor pop   | i | bII | V7 | i || bVI | iv | bII | V7
soul_minor      minor pop   | i7 | iv7 | i7 | v7 || bVIM7 | v7 | iv7 | V7#9
power           minor pop   | i | bVI | bVII | V || bIII | bVII | bVI | V
slow_minor      minor pop   | i | i | bVI | bVI || iv | iv | V | V7
pop_sixth       minor pop   | bVI | i | bVII | bIII || iv | bVI | bVII | v
hit_the_line    minor pop   | i bVII | bVI V | i bVII | bVI V || iv | iv | V7 | V7
sus_minor       minor pop   | i | bVIIs4 bVII | bVIM7 | V7s4 V7 || iv | bVII | bIIIM7 | bVIM7
waltz_minor     minor pop   | i | i | iv | i | iih7 | V7 | i | V7 || bIII | bIII | bVII | bIII | bVI | iv | V7 | V7
dorian_vamp     minor modal | i7 | IV7 | i7 | IV7 || ii7 | i7 | bIII | IV
dorian_funk     minor modal | i9 | i9 | IV9 | IV9 || i9 | bVII | bIII | IV
dorian_rock     minor modal | i | bIII | IV | i || bVII | IV | i | i
dorian_so       minor modal | i7 | i7 | i7 | i7 || bii7 | bii7 | bii7 | bii7
phrygian        minor modal | i | bII | i | bII || bIII | bII | bvii | i
phrygian_dom    minor modal | i | bII | bIII | bII || iv | bIII | bII | i
aeolian_vamp    minor modal | i | i | bVII | bVII || bVI | bVI | bVII | i
aeolian_nine    minor modal | i9 | bVIM7 | i9 | bVIM7 || iv9 | v7 | bVIM7 | bVII
minor_two_five  minor jazz  | iih7 | V7b9 | i7 | i7 || iv7 | bVII7 | bIIIM7 | V7#5
minor_two_long  minor jazz  | i7 | iih7 V7 | i7 | iih7 V7 || iv7 | i7 | bVI7 | V7
leaves          minor jazz  | iv7 | bVII7 | bIIIM7 | bVIM7 | iih7 | V7 | i7 | i7 || iih7 | V7b9 | i6 | i6
summer          minor jazz  | i6 | V7 | i6 | V7 | iv7 | iv7 | bVI7 | V7 || bIIIM7 | iih7 V7 | i6 | iih7 V7
bossa_blue      minor jazz  | i7 | i7 | iv7 | iv7 | iih7 | V7 | i7 | i7 || biii7 | bVI7 | bIIM7 | iih7 V7b9
tritone_minor   minor jazz  | i7 | bVI7 | iih7 | bII7 || iv7 | bVII9 | bIIIM7 | bVI7
minor_turn      minor jazz  | i6 vih7 | iih7 V7 | i6 vih7 | iih7 V7 || iv6 | i6 | II7 | V7
minor_major     minor jazz  | iM7 | iM7 | iv9 | V7#5 || bVIM7 | iih7 | V7b9 | iM7
modal_minor_jz  minor jazz  | i9 | bIIIM7 | bVIM9 | V7#9 || iv9 | bVII13 | bIIIM9 | V7#5
hard_bop        minor jazz  | i7 | iv7 | bVII9 | V7#9 || iv7 bVII7 | bIIIM7 bVIM7 | iih7 | V7b9
blues_minor     minor blues | i7 | i7 | i7 | i7 | iv7 | iv7 | i7 | i7 | bVI7 | V7 | i7 | V7 || iv7 | i7 | bVI7 | V7
blues_minor_two minor blues | i6 | iv6 | i6 | i6 | iv6 | iv6 | i6 | i6 | iih7 | V7b9 | i6 | V7#9 || iv7 | bVII7 | bVI7 | V7
blues_minor_rk  minor blues | i | i | iv | i || v | iv | i | V7
funk_minor      minor blues | i7 | i7 | iv9 | i7 || bVI9 | V7#9 | i7 | V7#9
"""  # noqa: E501


def _read_table(table: str) -> tuple[Template, ...]:
    templates = []
    for row in table.strip().splitlines():
        title, bars = row.split("|", 1)
        name, mode, style = title.split()
        phrases = tuple(tuple(tuple(bar.split()) for bar in p.split("|")) for p in bars.split("||"))
        templates.append(Template(name, mode, style, phrases))
    return tuple(templates)


def _parse(numeral: str) -> tuple[int, str]:
    """Semitones above the tonic and the quality of a numeral."""
    match = _NUMERAL.fullmatch(numeral)
    if match is None:
        raise ValueError(f"unknown numeral {numeral!r}")
    accidental, degree, quality = match.groups()
    shift = {"b": -1, "#": 1, "": 0}[accidental]
    qualities = _UPPER if degree.isupper() else _LOWER
    return (_DEGREES[degree.lower()] + shift) % 12, qualities[quality]


def _place(numeral: str) -> str:
    semitones, quality = _parse(numeral)
    return f"{semitones}{quality}"


def spell(numeral: str, key: str) -> str:
    """The chord symbol of a numeral in a key: `spell("bVI7", "E minor")` is "C7"."""
    tonic = key.split()[0]
    names = _SHARP if key in _SHARP_KEYS else _FLAT
    place = (names if tonic in names else _SHARP if "#" in tonic else _FLAT).index(tonic)
    semitones, quality = _parse(numeral)
    return names[(place + semitones) % 12] + quality


TEMPLATES = _read_table(_TABLE)


def families(templates: Sequence[Template]) -> dict[str, str]:
    """Family of every template by name: templates that share a phrase, in any rotation, share a family."""
    parent = {template.name: template.name for template in templates}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    owner: dict[tuple[str, ...], str] = {}
    for template in templates:
        for phrase in template.phrases:
            bars = tuple(" ".join(_place(numeral) for numeral in bar) for bar in phrase)
            for shift in range(len(bars)):
                first = owner.setdefault(bars[shift:] + bars[:shift], template.name)
                parent[root(template.name)] = root(first)
    return {name: root(name) for name in parent}


# How often a degree is drawn, in either mode: the diatonic chords most, borrowed and secondary ones now and then.
_TRIADS = {
    "major": {
        "I": 5, "ii": 3, "iii": 2, "IV": 5, "V": 5, "vi": 4, "bVII": 2, "II": 1, "III": 1, "VI": 1, "iv": 1, "v": 0.5,
        "bVI": 1.5, "bIII": 1, "bII": 0.5, "i": 0.5, "VII": 0.3, "#ivo": 0.4, "#io": 0.3, "viio": 0.4, "Vs4": 0.5,
    },
    "minor": {
        "i": 5, "iv": 4, "v": 2, "V": 3, "bVI": 4, "bVII": 4, "bIII": 3, "iio": 1, "IV": 1, "bII": 0.7, "ii": 0.7,
        "I": 0.4, "vi": 0.3, "bvii": 0.4, "II": 0.5, "viio": 0.4, "Vs4": 0.4,
    },
}  # fmt: skip
_SEVENTHS = {
    "major": {
        "IM7": 4, "I6": 1, "I7": 1, "ii7": 4, "ii9": 1, "iii7": 2, "IVM7": 4, "V7": 5, "V9": 1, "V13": 0.5, "V7s4": 1,
        "vi7": 4, "VI7": 1, "II7": 1, "III7": 1, "iv7": 1, "iv6": 0.5, "bVII7": 1.5, "bVIM7": 1, "bIIIM7": 0.7,
        "bII7": 0.7, "#ivh7": 0.5, "#io7": 0.4, "viih7": 0.5, "v7": 0.5, "IV7": 1,
    },
    "minor": {
        "i7": 5, "i6": 1, "i9": 1, "iM7": 0.4, "iv7": 4, "iv9": 0.7, "v7": 1.5, "V7": 3, "V7b9": 1, "V7#9": 0.5,
        "V7#5": 0.4, "bVIM7": 3, "bVI7": 1, "bVII7": 3, "bIIIM7": 3, "iih7": 3, "IV7": 1, "bIIM7": 0.7, "bII7": 0.5,
        "viio7": 0.5, "vih7": 0.4,
    },
}  # fmt: skip
_TWO_CHORDS = (0.0, 0.15, 0.4)
"""Share of a song's bars that have two."""
_STAY = 0.15
"""Share of bars that repeat the chord before."""


def drawn_template(name: str, rng: np.random.Generator, held_out: Sequence[Template]) -> Template:
    """Two phrases of four or eight bars, none of which is, in any rotation, a phrase of a template in `held_out`."""
    while True:
        mode = str(rng.choice(["major", "minor"]))
        table = (_SEVENTHS if rng.random() < 0.4 else _TRIADS)[mode]
        two = float(rng.choice(_TWO_CHORDS))
        length = int(rng.choice([4, 8]))
        template = Template(name, mode, "drawn", tuple(_phrase(table, length, two, rng) for _ in range(2)))
        roots = families([*held_out, template])
        if list(roots.values()).count(roots[name]) == 1:
            return template


def _phrase(table: dict[str, float], length: int, two: float, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    weights = np.array(list(table.values()))
    bars: list[tuple[str, ...]] = []
    for _ in range(length):
        if bars and rng.random() < _STAY:
            bars.append((bars[-1][-1],))
            continue
        count = 2 if rng.random() < two else 1
        bars.append(tuple(map(str, rng.choice(list(table), count, replace=False, p=weights / weights.sum()))))
    return tuple(bars)
