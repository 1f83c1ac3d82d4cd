"""Draws a song: template, key, tempo, grooves and form (intro, A A B A, fills, ending), and its text for MMA."""

from dataclasses import dataclass, replace

import numpy as np

from bassbench.songs.compose.grooves import Groove
from bassbench.songs.compose.progressions import MAJOR_KEYS, MINOR_KEYS, MMA_SUFFIX, Template, spell
from bassbench.songs.compose.splits import Slot, weight
from bassbench.songs.song_bank import parse_chord

LEAST, MOST = 32.0, 40.0  # seconds a song
TEMPOS = {"slow": (72, 100), "fast": (112, 150), "": (78, 146)}
SLOW = ("ballad", "slow", "lullaby", "hymn", "spiritual", "serenade", "mellow")
FAST = ("fast", "bebop", "polka", "quickstep", "techno", "house", "rave", "bluegrass", "samba", "metal", "dance")
JAZZ = ("jazz", "swing", "bossa", "bebop", "bigband", "latin", "samba", "evans", "foxtrot", "strut", "samba")
BLUES = ("blues", "boog", "rock", "funk", "twist", "jive", "r+b", "soul")


@dataclass(frozen=True)
class Bar:
    """One bar of a plan: section label, groove and chord symbols (one or two)."""

    label: str
    groove: str
    chords: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A song before it is composed."""

    bars: tuple[Bar, ...]
    tempo: int
    key: str
    beats_per_bar: int
    progression: str


def style_of(file: str) -> tuple[str, ...]:
    """Template styles that suit a groove file."""
    if any(word in file for word in JAZZ):
        return ("jazz", "jazz", "blues", "pop", "modal")
    if any(word in file for word in BLUES):
        return ("blues", "pop", "pop", "modal")
    return ("pop", "pop", "pop", "modal", "jazz")


def draw_plan(slot: Slot, rng: np.random.Generator) -> Plan:
    """Choose template, tempo, grooves and form, so that the song lasts 32 to 40 s."""
    weights = np.array([weight(groove) for groove in slot.grooves])
    main = slot.grooves[int(rng.choice(len(weights), p=weights / weights.sum()))]
    same = [g for g in slot.grooves if g.beats_per_bar == main.beats_per_bar and g != main]
    other = same[int(rng.integers(len(same)))] if same else main
    helpers = {
        kind: [g for g in slot.helpers if g.kind == kind and g.beats_per_bar == main.beats_per_bar]
        for kind in ("intro", "fill", "end")
    }
    style = str(rng.choice(style_of(main.file)))
    suited = [t for t in slot.templates if t.style == style] or list(slot.templates)
    template = suited[int(rng.integers(len(suited)))]
    mode = template.mode
    key = f"{(MAJOR_KEYS if mode == 'major' else MINOR_KEYS)[slot.tonic]} {mode}"
    pace = "slow" if any(w in main.file for w in SLOW) else "fast" if any(w in main.file for w in FAST) else ""
    tempo = int(rng.integers(*TEMPOS[pace], endpoint=True))
    seconds = float(rng.uniform(LEAST + 1, MOST - 1))
    length = round(seconds * tempo / 60 / main.beats_per_bar)
    bars = draw_form(template, key, length, main, other, helpers, rng)
    low, high = len(bars) * main.beats_per_bar * 60 / MOST, len(bars) * main.beats_per_bar * 60 / LEAST
    tempo = int(np.clip(tempo, np.ceil(max(low, 72)), np.floor(min(high, 150))))
    return Plan(tuple(bars), tempo, key, main.beats_per_bar, template.name)


def draw_form(
    template: Template,
    key: str,
    length: int,
    main: Groove,
    other: Groove,
    helpers: dict[str, list[Groove]],
    rng: np.random.Generator,
) -> list[Bar]:
    """Bars of a song of `length` bars: perhaps an intro, phrases (A A B A ...), perhaps fills, an ending."""
    phrases = [[tuple(spell(numeral, key) for numeral in bar) for bar in p] for p in template.phrases]
    opening = phrases[0][0][0]
    home = parse_chord(opening)[0] == parse_chord(key.split()[0])[0]
    tonic = opening if home else spell("I" if template.mode == "major" else "i", key)

    def helper(kind: str, chance: float, otherwise: Groove) -> str:
        found = helpers[kind]
        use = found and rng.random() < chance
        return (found[int(rng.integers(len(found)))] if use else otherwise).reference

    bars: list[Bar] = []
    if rng.random() < 0.4:
        count, groove = int(rng.choice([2, 4])), helper("intro", 0.5, main)
        bars += [Bar("intro", groove, chords) for chords in phrases[0][:count]]
    ending = int(rng.integers(1, 3))
    form = str(rng.choice(["AABA", "ABAB", "AABB", "ABBA"]))
    place = 0
    while len(bars) < length - ending:
        label = form[place % 4]
        phrase, variant = phrases["AB".index(label)], main if label == "A" else other
        bars += [Bar(label, variant.reference, chords) for chords in phrase]
        if rng.random() < 0.35 and helpers["fill"]:
            bars[-1] = replace(bars[-1], label="fill", groove=helper("fill", 1.0, variant))
        place += 1
    # The last phrase may be cut short: the song must end in time.
    bars = bars[: length - ending]
    return bars + [Bar("end", helper("end", 0.5, main), (tonic,))] * ending


def mma_text(plan: Plan, seed: int) -> str:
    """The song in MMA's language."""
    # MMA wants "Db" for Db major but "E minor" for E minor.
    signature = plan.key if plan.key.endswith("minor") else plan.key.split()[0]
    lines = [f"RndSeed {seed}", f"Tempo {plan.tempo}", f"KeySig {signature}"]
    groove = ""
    for number, bar in enumerate(plan.bars, start=1):
        if bar.groove != groove:
            lines.append(f"Groove {bar.groove}")
        groove = bar.groove
        lines.append(f"{number} {' / '.join(_mma_chord(symbol) for symbol in bar.chords)}")
    return "\n".join(lines) + "\n"


def _mma_chord(symbol: str) -> str:
    length = 2 if symbol[1:2] in ("#", "b") else 1
    return symbol[:length] + MMA_SUFFIX.get(symbol[length:], symbol[length:])
