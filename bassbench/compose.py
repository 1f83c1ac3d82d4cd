"""Composes the song bank: `python -m bassbench.compose [--freedoom FOLDER]`, a maintainer's script.

It needs Debian's `mma` (GPL-2+, so is its library and what it composes: `data/LICENSE.song_bank`); using the
bank does not. The same library gives the same bytes. Grooves and progression templates are dealt to the
splits first, in families that would leak into each other; then every song draws its own groove, template,
key, tempo and form, is composed, cleaned and checked.
"""

import argparse
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
from tqdm import tqdm

from bassbench.bass_line import bass_instrument, fit_register, merge_by_role, monophonic
from bassbench.freedoom import human_songs
from bassbench.grooves import Groove, components, list_grooves, main_grooves, run_mma, split_bass
from bassbench.progressions import (
    MAJOR_KEYS,
    MINOR_KEYS,
    MMA_SUFFIX,
    TEMPLATES,
    Template,
    families,
    spell,
)
from bassbench.song_bank import DATA, load_songs, parse_chord

SEED = 2402
COUNTS = {"train": 2000, "validation": 150, "test": 250}
# Of seven small components (or families) these many stay in training; validation and test need variety more
# than numbers.
DEAL = ("train", "test", "train", "validation", "train", "test", "train")
ATTEMPTS = 6
LEAST, MOST = 32.0, 40.0  # seconds a song
TEMPOS = {"slow": (72, 100), "fast": (112, 150), "": (78, 146)}
SLOW = ("ballad", "slow", "lullaby", "hymn", "spiritual", "serenade", "mellow")
FAST = ("fast", "bebop", "polka", "quickstep", "techno", "house", "rave", "bluegrass", "samba", "metal", "dance")
JAZZ = ("jazz", "swing", "bossa", "bebop", "bigband", "latin", "samba", "evans", "foxtrot", "strut", "samba")
BLUES = ("blues", "boog", "rock", "funk", "twist", "jive", "r+b", "soul")


@dataclass(frozen=True)
class Slot:
    """One song to be composed: its split, and what it may draw from."""

    name: str
    split: str
    number: int
    program: int
    tonic: int
    component: str
    grooves: tuple[Groove, ...]
    helpers: tuple[Groove, ...]
    templates: tuple[Template, ...]


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


def weight(groove: Groove) -> float:
    """How often a groove is drawn: dense lines more (as people play), two-beat and plain quarters less."""
    sparse = groove.density <= 0.55
    patterns = Counter(groove.patterns).most_common(1)
    quarters = tuple(range(0, groove.beats_per_bar * 12, 12))
    plain = bool(patterns) and patterns[0][0] == quarters and patterns[0][1] >= 12
    return 0.15 if sparse else 0.3 if plain else float(np.clip(groove.density, 0.7, 2.0)) ** 1.5


def deal(groups: dict[str, list[str]], order: Callable[[str], Any]) -> dict[str, str]:
    """Split of every group's root: groups of more than two go to training, the rest in turn, sorted by `order`."""
    small = sorted((root for root in groups if len(groups[root]) <= 2), key=order)
    splits = {root: DEAL[index % len(DEAL)] for index, root in enumerate(small)}
    return {root: splits.get(root, "train") for root in groups}


def grouped(roots: dict[str, str]) -> dict[str, list[str]]:
    """Members of every root."""
    groups: dict[str, list[str]] = {}
    for member, root in roots.items():
        groups.setdefault(root, []).append(member)
    return groups


def plan_slots(grooves: Sequence[Groove], counts: dict[str, int]) -> list[Slot]:
    """Deal groove components and template families to the splits and give every song its slot."""
    mains = main_grooves(grooves)
    by_file: dict[str, list[Groove]] = {}
    for groove in mains:
        by_file.setdefault(groove.file, []).append(groove)
    roots = components(mains)
    density = {file: float(np.mean([g.density for g in found])) for file, found in by_file.items()}
    meter = {file: found[0].beats_per_bar for file, found in by_file.items()}
    component_split = deal(grouped(roots), lambda root: (meter[root], density[root], root))
    family = families(TEMPLATES)
    by_name = {template.name: template for template in TEMPLATES}
    template_split = deal(grouped(family), lambda root: (by_name[root].mode, by_name[root].style, root))
    slots = []
    for split_index, (split, count) in enumerate(counts.items()):
        rng = np.random.default_rng([SEED, split_index])
        files = sorted(file for file in by_file if component_split[roots[file]] == split)
        # A file with many variants weighs more, but not in proportion: they are alike.
        weights = np.array([sum(weight(g) for g in by_file[file]) ** 0.6 for file in files])
        shares = np.round(np.cumsum(weights) / weights.sum() * count).astype(int)
        drawn = [files[int(np.searchsorted(shares, number, side="right"))] for number in range(count)]
        programs, tonics = rng.permutation(np.arange(count) % 8), rng.permutation(np.arange(count) % 12)
        chosen = tuple(t for t in TEMPLATES if template_split[family[t.name]] == split)
        for number, file in enumerate(drawn):
            slots.append(
                Slot(
                    name=f"{split}-{number:04d}-{file.split('/')[1]}",
                    split=split,
                    number=split_index * 10_000 + number,
                    program=32 + int(programs[number]),
                    tonic=int(tonics[number]),
                    component=roots[file],
                    grooves=tuple(by_file[file]),
                    helpers=tuple(g for g in grooves if g.file == file and g.kind in ("intro", "fill", "end")),
                    templates=chosen,
                )
            )
    return slots


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
    tonic = phrases[0][0][:1] if parse_chord(phrases[0][0][0])[0] == parse_chord(key.split()[0])[0] else (
        spell("I" if template.mode == "major" else "i", key),
    )  # fmt: skip

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
        phrase, groove = phrases["AB".index(label)], main if label == "A" else other
        bars += [Bar(label, groove.reference, chords) for chords in phrase]
        if rng.random() < 0.35 and helpers["fill"]:
            bars[-1] = replace(bars[-1], label="fill", groove=helper("fill", 1.0, groove))
        place += 1
    # A phrase may be cut short where the song must end, at an even bar.
    bars = bars[: length - ending]
    groove_name = helper("end", 0.5, main)
    return bars + [Bar("end", groove_name, tonic)] * ending


def mma_text(plan: Plan, seed: int) -> str:
    """The song in MMA's language."""
    # MMA wants "Db" for "Db major" and "E minor" for minor keys.
    signature = plan.key if plan.key.endswith("minor") else plan.key.split()[0]
    lines = [f"RndSeed {seed}", f"Tempo {plan.tempo}", f"KeySig {signature}"]
    groove, label = "", ""
    for number, bar in enumerate(plan.bars, start=1):
        if (bar.groove, bar.label) != (groove, label) and bar.groove != groove:
            lines.append(f"Groove {bar.groove}")
        groove, label = bar.groove, bar.label
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
    if fit_register(line) > 0.1 or len(line) < 20:
        return None
    for track in others:
        track.control_changes, track.pitch_bends = [], []
    tracks = merge_by_role(others)
    for track in [bass_instrument(line, slot.program), *tracks]:
        track.notes = [note for note in track.notes if note.start < duration - 0.05]
        for note in track.notes:
            note.end = min(note.end, duration)
    played = {int((note.start + 0.05) / bar) for note in line}
    pitched = [track for track in tracks if not track.is_drum]
    accompanied = {int((n.start + 0.05) / bar) for track in pitched for n in track.notes}
    if len(played) < 0.85 * len(plan.bars) or len(accompanied) < 0.8 * len(plan.bars) or len(tracks) < 2:
        return None
    midi = pretty_midi.PrettyMIDI(resolution=192, initial_tempo=plan.tempo)
    midi.time_signature_changes = [pretty_midi.TimeSignature(plan.beats_per_bar, 4, 0)]
    midi.instruments = [bass_instrument([n for n in line if n.start < duration - 0.05], slot.program), *tracks]
    return midi_bytes(midi)


def midi_bytes(midi: pretty_midi.PrettyMIDI) -> bytes:
    """A MIDI file in memory."""
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


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


def write_bank(path: Path, splits: dict[str, list[tuple[dict[str, Any], bytes]]]) -> None:
    """One archive: per split an index (JSON) and all MIDI files end to end; the same songs, the same bytes."""
    with zipfile.ZipFile(path, "w") as bank:
        for split, songs in splits.items():
            index = json.dumps([entry for entry, _ in songs], separators=(",", ":"), sort_keys=True)
            for name, content in (
                (f"{split}.json", index.encode()),
                (f"{split}.midi", b"".join(midi for _, midi in songs)),
            ):
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type, info.create_system = zipfile.ZIP_LZMA, 3
                info.external_attr = 0o644 << 16
                bank.writestr(info, content)


def describe(split: str) -> str:
    """One line of statistics; a bar offset or a wrong chord would show in the shares."""
    songs = load_songs(split)
    root = tone = downbeats = beats = 0
    rates, pitches = [], []
    for song in songs:
        midi = pretty_midi.PrettyMIDI(io.BytesIO(song.midi))
        bass = next(track for track in midi.instruments if track.name == "bass")
        rates.append(len(bass.notes) / song.duration)
        pitches += [note.pitch for note in bass.notes]
        starts = np.array([chord.start for chord in song.chords])
        for note in bass.notes:
            place = note.start * song.tempo / 60
            if song.chords and abs(place - round(place)) < 0.1:
                when = round(place) * 60 / song.tempo + 1e-6
                chord = song.chords[int(np.searchsorted(starts, when, side="right")) - 1]
                beats, tone = beats + 1, tone + (note.pitch % 12 in chord.pitch_classes)
                if round(place) % song.beats_per_bar == 0:
                    downbeats, root = downbeats + 1, root + (note.pitch % 12 == chord.root)
    return (
        f"{split}: {len(songs)} songs, {len({s.component for s in songs})} components, "
        f"{len({s.progression for s in songs})} progressions, {np.median(rates):.2f} notes/s, "
        f"median pitch {np.median(pitches):.0f}, root on downbeats {root / max(downbeats, 1):.3f}, "
        f"chord tone on beats {tone / max(beats, 1):.3f}"
    )


def main() -> None:
    """Compose everything and print the statistics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--freedoom", type=Path, help="folder of Freedoom MIDI files: makes the human split too")
    parser.add_argument("--work", type=Path, default=Path("compose_work"), help="keeps MMA's output between runs")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the songs to compose (a quick try)")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.freedoom:
        write_bank(DATA / "human.zip", {"human": human_songs(arguments.freedoom)})
        print(describe("human"))
    grooves = list_grooves(arguments.work, workers=arguments.workers)
    counts = {split: max(1, int(count * arguments.scale)) for split, count in COUNTS.items()}
    slots = plan_slots(grooves, counts)
    bank: dict[str, list[tuple[dict[str, Any], bytes]]] = {split: [] for split in counts}
    with ProcessPoolExecutor(arguments.workers) as pool:
        done = pool.map(partial(compose_song, folder=arguments.work), slots, chunksize=8)
        for slot, song in zip(slots, tqdm(done, total=len(slots), unit="song"), strict=True):
            if song is not None:
                bank[slot.split].append(song)
    write_bank(DATA / "song_bank.zip", bank)
    for split in counts:
        print(describe(split))


if __name__ == "__main__":
    main()
