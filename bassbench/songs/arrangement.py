"""What is played: an arrangement of a song, drawn from (song, seed), as parts of notes and General-MIDI controllers."""

import dataclasses
import io
import itertools
import re
import zlib
from collections.abc import Sequence

import numpy as np
import pretty_midi

from bassbench.errors import BadInputError
from bassbench.songs.effects import Timbre, draw_timbre
from bassbench.songs.song_bank import Chord, Song

BASS_PROGRAMS = tuple(range(32, 40))
_TRACK_VOLUME = 84  # 6 dB of random gain above it still fits the controller's 127
_TAIL_SECONDS = 2.0
_NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


@dataclasses.dataclass(frozen=True)
class Note:
    """A note: start and end in seconds, MIDI pitch and velocity."""

    start: float
    end: float
    pitch: int
    velocity: int = 90


@dataclasses.dataclass(frozen=True)
class Part:
    """One track of an arrangement: its notes and the General-MIDI controllers it is played with."""

    name: str
    program: int
    is_drum: bool
    notes: tuple[Note, ...]
    volume: int = _TRACK_VOLUME
    pan: int = 64
    reverb: int = 40
    chorus: int = 0
    bends: tuple[tuple[float, float], ...] = ()
    """Pitch bend: (seconds, semitones between -2 and 2), each until the next."""


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """What is played: the bass, the other parts of the mix, and the chords and beats it follows, in seconds."""

    bass: Part
    others: tuple[Part, ...]
    chords: tuple[Chord, ...]
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    transposition: int
    bass_over_mix: float
    """Loudness of the bass above that of the mix, in LU."""
    timbre: Timbre = dataclasses.field(default_factory=Timbre)


def song_generator(song: Song, seed: int) -> np.random.Generator:
    """The randomness of one rendering of one song."""
    return np.random.default_rng([zlib.crc32(song.name.encode()), seed])


def arrange(
    song: Song,
    seed: int,
    *,
    start: float,
    seconds: float,
    vary: bool = True,
    subset: bool = False,
    subset_draw: int = 0,
    effects: bool = False,
    transposition: int | None = None,
) -> Arrangement:
    """Draw one arrangement of `seconds` of a song from `start`.

    `vary` draws a transposition of -3 to 3 semitones (all pitched parts together, drums never), the bass program,
    and level (+-6 dB), pan and reverb of the other parts. `subset` keeps a random non-empty subset of the other
    parts, as in the paper's training pairs; another `subset_draw` keeps another one, for the same bass. `effects` draws
    a timbre (`bassbench.songs.effects`). `transposition` is used instead of the one that is drawn.

    Raises:
        BadInputError: the song has no bass, or nothing else sounds in the window.
    """
    generator = song_generator(song, seed)
    # Every draw is made whatever the options, so that an option never shifts the randomness of another.
    shift = int(generator.integers(-3, 4))
    program = int(generator.choice(BASS_PROGRAMS))
    bass_over_mix = float(generator.uniform(-5.0, 1.0))
    bass, others = _parts(song, start, seconds)
    drawn = []
    for part in others:
        decibels, pan, reverb = generator.uniform(-6, 6), generator.normal(64, 22), generator.uniform(0, 90)
        volume = round(_TRACK_VOLUME * 10 ** (decibels / 40))  # General MIDI: amplitude is the square of the volume
        if vary:
            part = dataclasses.replace(part, volume=min(volume, 127), pan=int(np.clip(pan, 8, 120)), reverb=int(reverb))
        drawn.append(part)
    if subset_draw:
        generator = np.random.default_rng([zlib.crc32(song.name.encode()), seed, 0x5B5E7, subset_draw])
    kept = generator.random(len(drawn)) < generator.choice([0.35, 0.65, 1.0])
    lone = int(generator.integers(max(len(drawn), 1)))
    if subset:
        drawn = [part for i, part in enumerate(drawn) if kept[i] or (i == lone and not kept.any())]
    if not vary:
        shift, program, bass_over_mix = 0, bass.program, -2.0
    shift = shift if transposition is None else transposition
    played = _transposed(bass_part(program, bass.notes), shift)
    parts = [_transposed(part, shift) for part in drawn]
    timbre = Timbre()
    if effects:
        touches = np.random.default_rng([zlib.crc32(song.name.encode()), seed, 0xEFFEC7])
        timbre = draw_timbre(touches)
        played = _touched(played, timbre, touches, detune=timbre.detune + timbre.bass_detune)
        parts = [_touched(part, timbre, touches, detune=timbre.detune) for part in parts]
    return Arrangement(
        bass=played,
        others=tuple(parts),
        chords=tuple(
            _moved_chord(chord, shift, start, seconds)
            for chord in song.chords
            if chord.end > start and chord.start < start + seconds
        ),
        beats=_window(song.beats, start, seconds),
        downbeats=_window(song.downbeats, start, seconds),
        transposition=shift,
        bass_over_mix=bass_over_mix,
        timbre=timbre,
    )


def bass_part(program: int, notes: tuple[Note, ...]) -> Part:
    """Notes as every bass is played here: loud, centred, with a little reverb."""
    return Part("bass", program, False, notes, volume=120, reverb=20)


def transposed(name: str, semitones: int) -> str:
    """A chord symbol or key moved by semitones: "Em7" up one is "Fm7", "E minor" is "F minor"; "" stays ""."""
    match = re.match(r"([A-G])([#b]*)(.*)", name)
    if match is None or semitones == 0:
        return name
    letter, accidentals, rest = match.groups()
    pitch = _NOTE_NAMES.index(letter) + accidentals.count("#") - accidentals.count("b") + semitones
    return _NOTE_NAMES[pitch % 12] + rest


def _parts(song: Song, start: float, seconds: float) -> tuple[Part, list[Part]]:
    midi = pretty_midi.PrettyMIDI(io.BytesIO(song.midi))
    bass, others, names = None, [], set()
    for instrument in midi.instruments:
        notes = tuple(
            Note(max(n.start - start, 0.0), min(n.end - start, seconds + _TAIL_SECONDS), n.pitch, n.velocity)
            for n in instrument.notes
            if n.end > start + 0.03 and n.start < start + seconds
        )
        if instrument.name == "bass":
            bass = bass_part(int(instrument.program), notes)
        elif notes:
            name = instrument.name or "part"
            while name in names:
                name += "'"
            names.add(name)
            others.append(Part(name, int(instrument.program), instrument.is_drum, notes))
    if bass is None or not bass.notes:
        raise BadInputError(f"{song.name}: no bass notes in {start:.1f} to {start + seconds:.1f} s")
    if not others:
        raise BadInputError(f"{song.name}: nothing but bass in {start:.1f} to {start + seconds:.1f} s")
    return bass, others


def _transposed(part: Part, semitones: int) -> Part:
    if part.is_drum or semitones == 0:
        return part
    return dataclasses.replace(
        part, notes=tuple(dataclasses.replace(n, pitch=int(np.clip(n.pitch + semitones, 0, 127))) for n in part.notes)
    )


def _touched(part: Part, timbre: Timbre, generator: np.random.Generator, *, detune: float) -> Part:
    """A part as a player might play it: velocities, detuning in cents, and glides on the bass."""
    notes = part.notes
    if timbre.velocity_gamma != 1.0:
        curve = [127 * (note.velocity / 127) ** timbre.velocity_gamma for note in notes]
        jitter = generator.normal(0, timbre.velocity_jitter, len(notes))
        velocities = np.clip(np.round(np.add(curve, jitter)), 20, 127).astype(int)
        notes = tuple(
            dataclasses.replace(note, velocity=int(velocity)) for note, velocity in zip(notes, velocities, strict=True)
        )
    if part.is_drum:
        return dataclasses.replace(part, notes=notes)
    bends = [(0.0, detune / 100)] if detune else []
    if timbre.glide and part.name == "bass":
        bends += _glides(notes, timbre.glide, detune / 100)
    return dataclasses.replace(part, notes=notes, bends=tuple(bends))


def _glides(notes: Sequence[Note], seconds: float, rest: float, steps: int = 8) -> list[tuple[float, float]]:
    """Bends of notes that follow another closely: from its pitch (at most two semitones away) to their own."""
    bends = []
    ordered = sorted(notes, key=lambda note: note.start)
    for before, note in itertools.pairwise(ordered):
        if note.start - before.end < 0.06 and note.pitch != before.pitch and note.end - note.start > 2 * seconds:
            away = float(np.clip(before.pitch - note.pitch, -2, 2)) * 0.95
            bends += [(note.start + seconds * i / steps, rest + away * (1 - i / steps)) for i in range(steps + 1)]
    return bends


def _moved_chord(chord: Chord, semitones: int, start: float, seconds: float) -> Chord:
    return dataclasses.replace(
        chord,
        start=max(chord.start - start, 0.0),
        end=min(chord.end - start, seconds),
        symbol=transposed(chord.symbol, semitones),
        root=(chord.root + semitones) % 12,
        pitch_classes=tuple((pitch + semitones) % 12 for pitch in chord.pitch_classes),
    )


def _window(times: Sequence[float], start: float, seconds: float) -> tuple[float, ...]:
    return tuple(time - start for time in times if 0 <= time - start < seconds)
