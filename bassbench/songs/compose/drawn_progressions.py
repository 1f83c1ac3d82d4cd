"""Chord progressions drawn at random, a new one for each song: what follows can only be told by listening.

Of a few templates a model learns by heart which chord comes next; over these it has to hear it.
"""

from collections.abc import Sequence

import numpy as np

from bassbench.songs.compose.progressions import Template, families

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
