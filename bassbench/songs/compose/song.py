"""Composes one song: draws template, key, tempo, grooves and form (intro, A A B A, fills, ending), has MMA play it,
cleans the MIDI and describes it for the index.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from bassbench.songs.compose.bass_line import bass_instrument, fit_register, merge_by_role, monophonic
from bassbench.songs.compose.grooves import Groove, run_mma, split_bass
from bassbench.songs.compose.progressions import MAJOR_KEYS, MINOR_KEYS, MMA_SUFFIX, Template, spell
from bassbench.songs.compose.splits import SEED, Slot, weight
from bassbench.songs.song_bank import parse_chord

ATTEMPTS = 6
FASTEST = 8  # bass notes a second
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


def index_entry(slot: Slot, plan: Plan) -> dict[str, Any]:
    """What the index says of a song; equal neighbours among chords and sections are joined."""
    chords: list[list[Any]] = []
    sections: list[list[Any]] = []
    for number, bar in enumerate(plan.bars):
        # The second chord of a bar comes on beat 3, in 3/4 too.
        for beat, symbol in zip((0, 2), bar.chords, strict=False):
            if not chords or chords[-1][1] != symbol:
                chords.append([number * plan.beats_per_bar + beat, symbol])
        starts = number and plan.bars[number - 1]
        if not starts or (starts.label, starts.groove) != (bar.label, bar.groove):
            sections.append([number, bar.label, bar.groove])
    return {
        "name": slot.name,
        "tempo": plan.tempo,
        "key": plan.key,
        "beats_per_bar": plan.beats_per_bar,
        "bars": len(plan.bars),
        "chords": chords,
        "sections": sections,
        "component": slot.component,
        "progression": plan.progression,
        "window": 0.0,
    }


def clean(path: Path, slot: Slot, plan: Plan) -> bytes | None:
    """The composed MIDI as the bank keeps it, or None where the bass does not hold up."""
    beat = 60 / plan.tempo
    bar, duration = plan.beats_per_bar * beat, plan.beats_per_bar * beat * len(plan.bars)
    notes, others = split_bass(pretty_midi.PrettyMIDI(str(path)), bar)
    if not notes:
        return None
    line = monophonic(notes)
    if fit_register(line) > 0.1 or not 20 <= len(line) <= FASTEST * duration:
        return None
    for track in others:
        track.control_changes, track.pitch_bends = [], []
    if chord_share(line, plan) < 0.6:
        return None
    bass, tracks = bass_instrument(line, slot.program), merge_by_role(others)
    for track in (bass, *tracks):
        track.notes = [note for note in track.notes if note.start < duration - 0.05]
        for note in track.notes:
            note.end = min(note.end, duration)
    pitched = [note for track in tracks if not track.is_drum for note in track.notes]
    played, accompanied = ({int((note.start + 0.05) / bar) for note in part} for part in (bass.notes, pitched))
    if len(played) < 0.85 * len(plan.bars) or len(accompanied) < 0.8 * len(plan.bars) or len(tracks) < 2:
        return None
    midi = pretty_midi.PrettyMIDI(resolution=192, initial_tempo=plan.tempo)
    midi.time_signature_changes = [pretty_midi.TimeSignature(plan.beats_per_bar, 4, 0)]
    midi.instruments = [bass, *tracks]
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


def chord_share(line: Sequence[Any], plan: Plan) -> float:
    """Share of the bass's sounding time that lies on tones of the chord at each note's start."""
    beat = 60 / plan.tempo
    held = fitting = 0.0
    for note in line:
        # A little early is on time: grooves push notes by some hundredths of a second.
        bar, place = divmod(note.start / beat + 0.1, plan.beats_per_bar)
        chords = plan.bars[min(int(bar), len(plan.bars) - 1)].chords
        chord = chords[-1] if place >= 2 else chords[0]
        held += note.end - note.start
        fitting += (note.end - note.start) * (note.pitch % 12 in parse_chord(chord)[1])
    return fitting / held


def compose_song(slot: Slot, folder: Path) -> tuple[dict[str, Any], bytes] | None:
    """Index entry and MIDI of a slot's song, after at most six attempts."""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([SEED, slot.number, attempt])
        plan = draw_plan(slot, rng)
        path = run_mma(mma_text(plan, slot.number * 10 + attempt), folder)
        midi = None if path is None else clean(path, slot, plan)
        if midi is not None:
            return index_entry(slot, plan) | {"midi_bytes": len(midi)}, midi
    return None
