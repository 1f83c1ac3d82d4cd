"""Rendering families: what may make a rendering sound more like a record, each with its switch, drawn from the seed.

A family is switched on by its name in `FAMILIES`; without any, a song is rendered as it always was. `perform` draws
what the families that are on do to one rendering: the notes change here (keys, timing, parts that enter and leave), the
sounds are told in a `Production`, which `bassbench.songs.production` plays.
"""

import dataclasses
import itertools
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bassbench.errors import BadInputError
from bassbench.songs import samples, synths
from bassbench.songs.arrangement import Arrangement, Note, Part
from bassbench.songs.mastering import Master, draw_master
from bassbench.songs.song_bank import Chord, Song

VERSION = "3"  # raise it when a family's output changes
SOUND_FOLDERS = tuple(map(Path, ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/usr/local/share/soundfonts")))
_SAMPLES = Path("/usr/share/sonic-pi/samples")
BASS_RANGE = (28, 67)
"""MIDI pitches that a moved bass line is folded into, by octaves: the low E of four strings, and its top."""


@dataclass(frozen=True)
class Family:
    """What one family does, and what must be there for it."""

    does: str
    package: str = ""
    """Debian package of its sounds; "" if it needs none."""
    files: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "keys": Family("the song in any key, -6 to +5 semitones; twelve seeds that follow each other are in twelve keys"),
    "programs": Family("parts played by other General-MIDI programs"),
    "csound": Family("parts and bass from csound's GM bank", "csound-soundfont", ("sf_GMbank.sf2",)),
    "opl3": Family("parts and bass from an FM chip's bank", "opl3-soundfont", ("OPL-3_FM_128M.sf2",)),
    "kits": Family("recorded drum kits", "avldrums.lv2-soundfont", ("Black_Pearl_4_LV2.sf2", "Red_Zeppelin_4_LV2.sf2")),
    "samples": Family("recorded loops, one-shot drums, guitars and basses", "sonic-pi-samples", ("loop_amen.flac",)),
    "synth-bass": Family("basses synthesised: subtractive, FM, 808 with glide, plucked string"),
    "voice": Family("a lead that behaves like a voice"),
    "timing": Family("human timing and velocity"),
    "tuning": Family("the whole piece off concert pitch, by up to 50 cents"),
    "levels": Family("levels as records have them, parts that enter and leave, pads that duck under the kick"),
    "mastering": Family("a record's end of chain on the mix"),
}
_OPL3_CENTS = 9.0  # by which that bank is below concert pitch


@dataclass(frozen=True)
class Production:
    """How one rendering sounds, beyond its notes. Fonts of None are the rendering's own."""

    families: tuple[str, ...] = ()
    bass_font: Path | None = None
    part_fonts: dict[str, Path] = field(default_factory=dict)
    """By the part's name; what is not named is played by the rendering's own."""
    patch: synths.Patch | None = None
    """What synthesises the bass."""
    sampled_bass: str = ""
    """Or the recording that plays it (`samples.BASSES`)."""
    drum_font: Path | None = None
    kit: dict[str, str] = field(default_factory=dict)
    """Recording of each piece of a kit of one-shots; empty: none."""
    loop: str = ""
    loop_decibels: float = 0.0
    """Level of the loop against the pitched parts."""
    guitar: str = ""
    guitar_decibels: float = 0.0
    voice: synths.Patch | None = None
    voice_notes: tuple[Note, ...] = ()
    voice_decibels: float = 0.0
    drum_decibels: float | None = None
    """Level of the drums against the pitched parts; None: as the synthesiser has it."""
    duck_decibels: float = 0.0
    duck_seconds: float = 0.25
    tuning: float = 0.0
    """Cents above concert pitch."""
    master: Master | None = None
    seed: int = 0
    """Of the noise in synthesised sounds."""


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The families of a choice such as ("keys", "voice") or ("all",), in the order of `FAMILIES`.

    Raises:
        BadInputError: an unknown family, or one whose Debian package is not installed.
    """
    unknown = [name for name in names if name not in FAMILIES and name != "all"]
    if unknown:
        raise BadInputError(f"no rendering family '{unknown[0]}': choose from all, {', '.join(FAMILIES)}")
    on = tuple(FAMILIES) if "all" in names else tuple(name for name in FAMILIES if name in names)
    for name in on:
        for file in FAMILIES[name].files:
            sound_file(file, FAMILIES[name].package)
    return on


def sound_file(name: str, package: str) -> Path:
    """A SoundFont or recording that a Debian package holds; `BASSBENCH_SOUNDS` names a folder that is searched first.

    Raises:
        BadInputError: it is not there.
    """
    own = os.environ.get("BASSBENCH_SOUNDS")
    for folder in (*([Path(own)] if own else []), *SOUND_FOLDERS, _SAMPLES):
        if (folder / name).is_file():
            return folder / name
    raise BadInputError(
        f"{name} is not there: install the Debian package {package}, or set BASSBENCH_SOUNDS to a folder with it"
    )


def samples_folder() -> Path:
    """Where the recordings of `bassbench.songs.samples` are.

    Raises:
        BadInputError: they are not installed.
    """
    return sound_file("loop_amen.flac", "sonic-pi-samples").parent


def key_of(song: Song, seed: int) -> int:
    """Semitones, -6 to 5, by which the family "keys" moves a rendering: twelve seeds in a row give every key once."""
    return (zlib.crc32(song.name.encode()) + 5 * seed) % 12 - 6


def perform(plan: Arrangement, song: Song, seed: int, families: Sequence[str]) -> tuple[Arrangement, Production]:
    """Draw what the families do to an arrangement (already in its key): changed notes, and how it all sounds.

    Every family has randomness of its own, a function of (song, seed, family), so that switching one on or off changes
    nothing of the others.
    """
    drawn = {
        name: np.random.default_rng([zlib.crc32(song.name.encode()), seed, zlib.crc32(name.encode())])
        for name in FAMILIES
    }
    bass, others = plan.bass, list(plan.others)
    made = Production(families=tuple(families), seed=int(np.random.default_rng([seed, 77]).integers(1 << 31)))
    if "keys" in families:
        bass = dataclasses.replace(bass, notes=tuple(_folded(note) for note in bass.notes))
    if "programs" in families:
        others = [_other_program(part, drawn["programs"]) for part in others]
    if "levels" in families:
        others = _entering(others, plan, song.beats_per_bar, drawn["levels"])
        bass = _resting(bass, plan, drawn["levels"])
    if "timing" in families:
        bass, others = _human(bass, drawn["timing"]), [_human(part, drawn["timing"]) for part in others]
        bass = dataclasses.replace(bass, notes=_one_at_a_time(bass.notes))
    made = _with_bass(made, families, drawn)
    made = _with_parts(made, others, families, drawn)
    if song.beats_per_bar != 4:
        made = dataclasses.replace(made, loop="")  # they are all in four
    made = dataclasses.replace(made, tuning=plan.timbre.detune)
    if "tuning" in families:
        # As records are: half within 12 cents, the rest up to a quarter tone off.
        share = float(drawn["tuning"].uniform(-1, 1))
        made = dataclasses.replace(made, tuning=round(50 * abs(share) * share, 2))
    shift = made.tuning - plan.timbre.detune
    bass = _retuned(bass, shift + (_OPL3_CENTS if _is_opl3(made.bass_font) else 0.0))
    others = [_retuned(part, shift + _OPL3_CENTS * _is_opl3(made.part_fonts.get(part.name))) for part in others]
    if "levels" in families:
        generator = drawn["levels"]
        ducks = generator.random() < 0.2
        made = dataclasses.replace(
            made,
            drum_decibels=float(np.clip(generator.normal(2, 4), -6, 9)),
            duck_decibels=float(generator.uniform(4, 18)) if ducks else 0.0,
            duck_seconds=float(generator.uniform(0.12, 0.4)),
        )
        plan = dataclasses.replace(plan, bass_over_mix=float(generator.uniform(-14, -3)))
    if "mastering" in families:
        made = dataclasses.replace(made, master=draw_master(drawn["mastering"]))
    return dataclasses.replace(plan, bass=bass, others=tuple(others)), made


def _with_bass(made: Production, families: Sequence[str], drawn: dict[str, np.random.Generator]) -> Production:
    """Who plays the bass: a synthesiser, a recording, or one of the fonts."""
    generator, font = drawn["synth-bass"], _font(families, drawn)
    kind, synthetic = str(generator.choice(synths.BASSES, p=(0.35, 0.2, 0.2, 0.25))), generator.random() < 0.5
    name, sampled = str(drawn["samples"].choice(sorted(samples.BASSES))), drawn["samples"].random() < 0.15
    if "synth-bass" in families and synthetic:
        return dataclasses.replace(made, patch=synths.draw_patch(generator, kind))
    if "samples" in families and sampled:
        return dataclasses.replace(made, sampled_bass=name)
    return dataclasses.replace(made, bass_font=font)


def _with_parts(
    made: Production, parts: Sequence[Part], families: Sequence[str], drawn: dict[str, np.random.Generator]
) -> Production:
    """Fonts of the pitched parts, and what plays the drums."""
    font, kits = _font(families, drawn), drawn["kits"]
    fonts = {part.name: font for part in parts if font and not part.is_drum and drawn["programs"].random() < 0.8}
    recorded, which = kits.random() < 0.5, str(kits.choice(FAMILIES["kits"].files))
    drum_font = sound_file(which, FAMILIES["kits"].package) if recorded and "kits" in families else None
    made = dataclasses.replace(made, part_fonts=fonts, drum_font=drum_font)
    if "samples" not in families:
        return made
    generator = drawn["samples"]
    kit = {piece: str(generator.choice(names)) for piece, names in samples.DRUMS.items()}
    loop, guitar = str(generator.choice(sorted(samples.LOOPS))), str(generator.choice(sorted(samples.GUITARS)))
    loop_level, guitar_level = generator.normal(-2, 4, 2)
    with_kit, with_loop, with_guitar = generator.random(3) < (0.35, 0.2, 0.15)
    return dataclasses.replace(
        made,
        kit=kit if with_kit else {},
        loop=loop if with_loop else "",
        loop_decibels=float(loop_level),
        guitar=guitar if with_guitar else "",
        guitar_decibels=float(guitar_level),
    )


def sing(plan: Arrangement, made: Production, song: Song, seed: int, seconds: float) -> Production:
    """With the family "voice" and known chords, a voice in half of the renderings: its patch and its melody."""
    generator = np.random.default_rng([zlib.crc32(song.name.encode()), seed, zlib.crc32(b"voice")])
    sings = generator.random() < 0.5
    if "voice" not in made.families or not plan.chords or not sings:
        return made
    patch, level = synths.draw_patch(generator, "voice"), float(generator.normal(1, 3))
    notes = melody(plan.chords, plan.beats, seconds, generator)
    return dataclasses.replace(made, voice=patch, voice_notes=notes, voice_decibels=level)


def melody(
    chords: Sequence[Chord], beats: Sequence[float], seconds: float, generator: np.random.Generator
) -> tuple[Note, ...]:
    """A sung line over chords: phrases with rests between, mostly chord tones by small steps, off the grid."""
    if len(beats) < 2:
        return ()
    beat = float(np.median(np.diff(beats)))
    pitch, time, notes = float(generator.integers(58, 72)), float(generator.uniform(0, 4) * beat), []
    late = generator.normal(0.03, 0.02)
    while time < seconds - beat:
        if generator.random() < 0.12:
            time += float(generator.choice([1, 2, 4, 6])) * beat
            continue
        length = float(generator.choice([0.5, 0.5, 1, 1, 1.5, 2, 3])) * beat
        chord = next((c for c in chords if c.start <= time < c.end), chords[-1])
        near = np.arange(int(pitch) - 5, int(pitch) + 6)
        near = near[(near >= 53) & (near <= 78)]
        fits = np.isin(near % 12, chord.pitch_classes)
        weight = np.where(fits, 1.0, 0.12) * np.exp(-np.abs(near - pitch) / 2.5)
        pitch = float(generator.choice(near, p=weight / weight.sum()))
        start = time + float(late + generator.normal(0, 0.025))
        sung = length * float(generator.uniform(0.7, 1.0))
        notes.append(
            Note(max(start, 0.0), min(max(start, 0.0) + sung, seconds), int(pitch), int(generator.integers(70, 120)))
        )
        time += length
    return tuple(notes)


def _font(families: Sequence[str], drawn: dict[str, np.random.Generator]) -> Path | None:
    """One of the banks that are switched on, or None (the rendering's own) in half of the cases."""
    opl3, csound = drawn["opl3"].random() < 0.15, drawn["csound"].random() < 0.4
    if "opl3" in families and opl3:
        return sound_file("OPL-3_FM_128M.sf2", FAMILIES["opl3"].package)
    return sound_file("sf_GMbank.sf2", FAMILIES["csound"].package) if "csound" in families and csound else None


def _is_opl3(font: Path | None) -> bool:
    return font is not None and font.name.startswith("OPL")


def _folded(note: Note) -> Note:
    low, high = BASS_RANGE
    pitch = note.pitch
    pitch += 12 * max(-(-(low - pitch) // 12), 0)
    return dataclasses.replace(note, pitch=pitch - 12 * max(-(-(pitch - high) // 12), 0))


# Programs that chords are played with on records: keys, organs, guitars, strings, choirs, brass, synthesisers.
_PROGRAMS = (0, 1, 2, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21, 24, 25, 26, 27, 28, 29, 30, 48, 49, 50, 51, 52, 53, 54, 61,
             62, 63, 80, 81, 82, 88, 89, 90, 91, 93, 94, 95)  # fmt: skip


def _other_program(part: Part, generator: np.random.Generator) -> Part:
    program, changes = int(generator.choice(_PROGRAMS)), generator.random() < 0.5
    return part if part.is_drum or not changes else dataclasses.replace(part, program=program)


def _blocks(plan: Arrangement, beats_per_bar: int, bars: int) -> list[float]:
    """Starts of blocks of some bars, from the first downbeat (or beat) on; the first block begins at 0."""
    downbeats = plan.downbeats or plan.beats[::beats_per_bar]
    return [0.0, *[time for time in downbeats[::bars] if time > 0.1]]


def _entering(parts: Sequence[Part], plan: Arrangement, bar: int, generator: np.random.Generator) -> list[Part]:
    """Some parts rest for some blocks of four bars; one pitched part always plays."""
    blocks = np.array(_blocks(plan, bar, 4))
    pitched = [index for index, part in enumerate(parts) if not part.is_drum]
    stays = int(generator.choice(pitched)) if pitched else -1
    found = []
    for index, part in enumerate(parts):
        leaves, rests = generator.random() < 0.4, generator.random(len(blocks)) < 0.35
        if leaves and index != stays:
            starts = np.array([note.start for note in part.notes])
            resting = rests[np.maximum(np.searchsorted(blocks, starts + 0.05, side="right") - 1, 0)]
            kept = tuple(note for note, rest in zip(part.notes, resting, strict=True) if not rest)
            part = dataclasses.replace(part, notes=kept or part.notes)
        found.append(part)
    return found


def _resting(bass: Part, plan: Arrangement, generator: np.random.Generator) -> Part:
    """In one of eight renderings the bass rests for two bars."""
    blocks = [*_blocks(plan, 4, 2), np.inf]
    rests, which = generator.random() < 0.12, int(generator.integers(len(blocks) - 1))
    kept = tuple(n for n in bass.notes if not blocks[which] <= n.start + 0.05 < blocks[which + 1])
    return dataclasses.replace(bass, notes=kept) if rests and kept else bass


def _human(part: Part, generator: np.random.Generator) -> Part:
    """Each part a little early or late, each note more so, velocities uneven; drums are the tightest."""
    tight = 0.5 if part.is_drum else 1.0
    lean, spread = generator.normal(0, 0.008) * tight, abs(generator.normal(0.006, 0.004)) * tight
    moved = lean + generator.normal(0, spread, len(part.notes))
    velocities = np.add([note.velocity for note in part.notes], generator.normal(0, 7, len(part.notes)))
    notes = []
    for note, shift, velocity in zip(part.notes, moved, np.clip(np.round(velocities), 20, 127), strict=True):
        start = max(note.start + shift, 0.0)
        notes.append(Note(start, max(note.end + shift, start + 0.03), note.pitch, int(velocity)))
    return dataclasses.replace(part, notes=tuple(notes))


def _one_at_a_time(notes: Sequence[Note]) -> tuple[Note, ...]:
    ordered = sorted(notes, key=lambda note: note.start)
    ends = [min(note.end, after.start) for note, after in itertools.pairwise(ordered)] + [ordered[-1].end]
    return tuple(
        dataclasses.replace(note, end=end) for note, end in zip(ordered, ends, strict=True) if end > note.start + 0.01
    )


def _retuned(part: Part, cents: float) -> Part:
    if part.is_drum or not cents:
        return part
    bends = part.bends or ((0.0, 0.0),)
    return dataclasses.replace(part, bends=tuple((time, bend + cents / 100) for time, bend in bends))
