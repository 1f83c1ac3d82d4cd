"""What can be asked of a bass beside the mix: a line, a rhythm, chords to keep to. As planes for the U-Net.

Not in the paper, which names control over the exact notes as what its system lacks.

Planes are input channels at the latent rate, 93 ms a frame, of three kinds. The last plane of each kind is its mask: 1
where the kind is given, 0 where the model is free. All of a kind is 0 where its mask is, so zeros ask for nothing.

    NOTES    how much of the frame each pitch from E1 to G4 sounds; onsets in four parts of the frame; the mask
    CHORDS   the pitch classes that are allowed; the mask
    RHYTHM   onsets in four parts of the frame, of any pitch; the mask

A bass plays one note at a time: of notes that begin together the lowest is kept, and a note ends when the next begins.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import file_hash
from bassbench.errors import BadInputError
from bassbench.plugins import warn_once
from bassbench.songs.arrangement import Note
from bassbench.songs.compose.bass_line import monophonic
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import QUALITIES, Chord, parse_chord
from bassbench.stems.windows import midi_notes
from reference_model.presets import R_TIME

LOWEST, HIGHEST = 28, 67
FRAME = R_TIME / SAMPLE_RATE
"""Seconds of a latent frame."""
PARTS = 4
"""Of a frame, 23 ms each: where in it a note begins."""
_PITCHES = HIGHEST - LOWEST + 1
NOTES = slice(0, _PITCHES + PARTS + 1)
CHORDS = slice(NOTES.stop, NOTES.stop + 12 + 1)
RHYTHM = slice(CHORDS.stop, CHORDS.stop + PARTS + 1)
KINDS = (NOTES, CHORDS, RHYTHM)
PLANES = RHYTHM.stop

_TOGETHER = 0.03  # seconds: notes that begin within them begin together, and so short an overlap is legato
_EARLY = 1e-3  # of a part of a frame: times that were rounded on their way here begin where they were meant to


@dataclass(frozen=True)
class Conditions:
    """What is asked for, in seconds from the start of the mix; None asks for nothing of the kind."""

    notes: Sequence[Note] | None = None
    """A line: these notes, and silence between them. Where a note below E1 or above G4 sounds the model is free."""
    chords: Sequence[Chord] | None = None
    """Pitch classes to keep to, while a chord lasts."""
    rhythm: Sequence[float] | None = None
    """When notes begin, whatever their pitch, and that none begins in between."""
    span: tuple[float, float] | None = None
    """From when to when it is asked for; before and after the model is free. None: over the whole mix."""

    def planes(self, frames: int) -> np.ndarray:
        """`(PLANES, frames)`, float32."""
        notes = None if self.notes is None else _note_rows(self.notes)
        chords = None if self.chords is None else _chord_rows(self.chords)
        rhythm = None if self.rhythm is None else np.asarray(self.rhythm, float)
        found = _planes(notes, chords, rhythm, frames)
        if self.span is not None:
            middle = (np.arange(frames) + 0.5) * FRAME
            found *= (middle >= self.span[0]) & (middle < self.span[1])
        return found

    def check(self, seconds: float) -> None:
        """Check against the length of the mix; notes that overlap are said on the error stream.

        Raises:
            BadInputError: something is asked for after its end or before its start, the span holds nothing of it, or no
                note is a bass's.
        """
        if self.notes:
            bass_line(self.notes, "conditions")
        refuse_beyond([note.start for note in self.notes or ()], seconds, "conditions: a note")
        refuse_beyond([chord.start for chord in self.chords or ()], seconds, "conditions: a chord")
        refuse_beyond(() if self.rhythm is None else self.rhythm, seconds, "conditions: an onset of the rhythm")
        if self.span is not None and not 0 <= self.span[0] < min(self.span[1], seconds):
            raise BadInputError(
                f"span {self.span[0]:g} to {self.span[1]:g} s: expected a start from 0 on, an end after it, and a part "
                f"of the mix between them, which is {seconds:.2f} s long"
            )


def refuse_beyond(times: Sequence[float], seconds: float, what: str) -> None:
    """Raise BadInputError, which says `what` begins there, if one of some times lies outside a mix of `seconds`."""
    for time in times:
        if not 0 <= time < seconds:  # NaN too
            where = "before its start" if time < 0 else "beyond its end"
            raise BadInputError(
                f"{what} begins at {time:.2f} s, {where}: the mix is {seconds:.2f} s long; move it or leave it out"
            )


# Planes


def _note_rows(notes: Sequence[Note]) -> np.ndarray:
    """Start, end and pitch of a line with one note at a time, `(notes, 3)`."""
    return np.array([(note.start, note.end, note.pitch) for note in monophonic(notes, within=_TOGETHER)]).reshape(-1, 3)


def _chord_rows(chords: Sequence[Chord]) -> np.ndarray:
    """Start, end and for each pitch class whether it is allowed, `(chords, 14)`."""
    rows = np.zeros((len(chords), 14))
    for row, chord in zip(rows, chords, strict=True):
        row[:2] = chord.start, chord.end
        row[[2 + pitch % 12 for pitch in chord.pitch_classes]] = 1
    return rows


def _planes(
    notes: np.ndarray | None, chords: np.ndarray | None, rhythm: np.ndarray | None, frames: int, *, first: int = 0
) -> np.ndarray:
    """Planes `(PLANES, frames)` from frame `first` on, of rows of notes and chords and onsets in seconds."""
    found = np.zeros((PLANES, frames), np.float32)
    if notes is not None:
        played = (notes[:, 2] >= LOWEST) & (notes[:, 2] <= HIGHEST)
        sounding = _shares(notes, frames, first)
        found[NOTES][:_PITCHES] = (np.arange(LOWEST, HIGHEST + 1)[:, None] == notes[:, 2]).astype(float) @ sounding
        found[NOTES][_PITCHES:-1] = _onsets(notes[played, 0], frames, first)
        found[NOTES][-1] = 1
        found[NOTES] *= ~(sounding[~played] > 0).any(axis=0)
    if chords is not None:
        lasting = _shares(chords, frames, first)
        found[CHORDS][:-1] = np.minimum(chords[:, 2:].T @ lasting, 1)
        found[CHORDS][-1] = np.minimum(lasting.sum(axis=0), 1)
    if rhythm is not None:
        found[RHYTHM][:-1] = _onsets(rhythm, frames, first)
        found[RHYTHM][-1] = 1
    return found


def _shares(rows: np.ndarray, frames: int, first: int) -> np.ndarray:
    """What share of each frame lies between start and end of each row, `(rows, frames)`."""
    starts, ends = (rows[:, column, None] / FRAME - first for column in (0, 1))
    frame = np.arange(frames)
    return np.clip(np.minimum(ends, frame + 1) - np.maximum(starts, frame), 0, 1)


def _onsets(times: np.ndarray, frames: int, first: int) -> np.ndarray:
    """1 in the part of the frame in which something begins, `(PARTS, frames)`."""
    found = np.zeros((PARTS, frames), np.float32)
    part = np.floor((times / FRAME - first) * PARTS + _EARLY).astype(int)
    part = part[(part >= 0) & (part < PARTS * frames)]
    found[part % PARTS, part // PARTS] = 1
    return found


# Training: what is known of a clip is asked for in part, so that any part of it can be asked for


def known(clip: Clip) -> dict[str, np.ndarray]:
    """What can be asked for of a clip's true bass, as arrays to keep beside its latents; empty where it is unknown.

    "notes" `(notes, 3)`, "chords" `(chords, 14)` and "bars", the times of the downbeats.
    """
    return {
        "notes": _note_rows(clip.bass_notes).astype(np.float32),
        "chords": _chord_rows(clip.chords).astype(np.float32),
        "bars": np.array(clip.downbeats, np.float32),
    }


def training_planes(
    truth: Mapping[str, np.ndarray], first: int, frames: int, generator: np.random.Generator
) -> np.ndarray:
    """Planes `(PLANES, frames)` for the frames of a clip from `first` on, as training sees them.

    All kinds are left out together with a chance of 0.2, then each with 0.5. Half of those that are kept are given
    throughout, the others in spans of one to four bars, with as long spans left out between them.
    """
    notes, chords, bars = truth["notes"], truth["chords"], truth["bars"]
    rhythm = notes[:, 0] if len(notes) else None
    found = _planes(notes if len(notes) else None, chords if len(chords) else None, rhythm, frames, first=first)
    seconds = (first + np.arange(frames)) * FRAME
    if len(bars) < 2:
        bars = np.arange(0, seconds[-1], 2.0)  # unknown: as long as those of 120 beats a minute
    edges = np.flatnonzero(np.isin(np.arange(first, first + frames), np.round(bars / FRAME)))
    nothing = generator.random() < 0.2
    for kind in KINDS:
        left_out, throughout = generator.random(2) < 0.5
        spans = _spans(frames, edges, generator)
        found[kind] *= 0 if nothing or left_out else 1 if throughout else spans
    return found


def _spans(frames: int, edges: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """0 and 1 by turns, `(frames,)`, each for one to four bars; `edges` are the frames where bars begin."""
    given, start, on = np.zeros(frames, np.float32), 0, bool(generator.random() < 0.5)
    while start < frames:
        ahead = edges[edges > start]
        bars = int(generator.integers(1, 5))
        end = int(ahead[bars - 1]) if len(ahead) >= bars else frames
        given[start:end] = on
        start, on = end, not on
    return given


# What a musician has at hand: MIDI files, and chords as they are written down


def read_notes(path: Path, seconds: float) -> tuple[Note, ...]:
    """The line of a MIDI file for a mix of `seconds`: `bass_line` of its notes, drums left out.

    Raises:
        BadInputError: it cannot be read, has no note between E1 and G4, or one that begins beyond the mix's end.
    """
    line = bass_line(midi_notes(path, file_hash(path)), str(path))
    refuse_beyond([note.start for note in line], seconds, f"{path}: a note")
    return line


def read_rhythm(path: Path, seconds: float) -> tuple[float, ...]:
    """When the notes of a MIDI file begin, drums among them, for a mix of `seconds`.

    Raises:
        BadInputError: it cannot be read, has no notes, or one that begins beyond the mix's end.
    """
    notes = midi_notes(path, file_hash(path), drums=True)
    if not notes:
        raise BadInputError(f"{path}: holds no notes; a rhythm is when its notes begin")
    refuse_beyond([note.start for note in notes], seconds, f"{path}: a note")
    return tuple(sorted({note.start for note in notes}))


def bass_line(notes: Sequence[Note], name: str) -> tuple[Note, ...]:
    """Notes as a bass can play them: between E1 and G4, one at a time. What is changed is said on the error stream.

    Raises:
        BadInputError: there is no such note.
    """
    inside = sorted((note for note in notes if LOWEST <= note.pitch <= HIGHEST), key=lambda note: note.start)
    line = tuple(Note(n.start, n.end, n.pitch, n.velocity) for n in monophonic(inside, within=_TOGETHER))
    if not line:
        raise BadInputError(
            f"{name}: none of its {len(notes)} notes can be a bass's, which lie between E1 and G4 (MIDI {LOWEST} to "
            f"{HIGHEST}); transpose them or give others"
        )
    if len(inside) < len(notes):
        outside = len(notes) - len(inside)
        warn_once(f"{name}: of {len(notes)} notes {outside} are not between E1 and G4 and are not asked for")
    overlapping = [two for one, two in itertools.pairwise(inside) if two.start < one.end - _TOGETHER]
    if overlapping:
        warn_once(
            f"{name}: notes overlap, first at {overlapping[0].start:.2f} s, and a bass plays one at a time: of those "
            "that begin together the lowest is kept, and a note ends where the next begins"
        )
    return line


def even_beats(bpm: float, seconds: float) -> np.ndarray:
    """The beats of a mix that begins with one and keeps its tempo, in seconds."""
    return np.arange(0, seconds, 60 / bpm)


def found_beats(mix: np.ndarray) -> np.ndarray:
    """The beats of a mix `(2, samples)` in seconds, as the root-notes baseline hears them.

    Raises:
        BadInputError: there are fewer than two.
    """
    from bassbench.suite.baselines import estimated_beats  # seconds to import, and most basses are asked for nothing

    beats = estimated_beats(mix)
    if len(beats) < 2:
        raise BadInputError("no beats are found in the mix; give its tempo (--bpm)")
    return beats


def read_chords(text: str, beats: np.ndarray, *, beats_per_bar: int = 4) -> tuple[Chord, ...]:
    """Chords as they are written down, "Am F | C G", over the beats of a mix in seconds `(at least 2,)`.

    The first bar begins on the first beat; chords of one bar last equally long; at the end of the text it begins anew,
    to the end of the mix.

    Raises:
        BadInputError: a chord cannot be read, a bar is empty, or the mix has fewer bars.
    """
    bars = [bar.split() for bar in text.strip().strip("|").split("|")]
    for number, bar in enumerate(bars, 1):
        if not bar:
            raise BadInputError(f"chords '{text}': bar {number} is empty; name its chord, also if it is the last bar's")
        for symbol in bar:
            refuse_unreadable(symbol, f"chords '{text}', bar {number}")
    there = -(-len(beats) // beats_per_bar)
    if len(bars) > there:
        raise BadInputError(
            f"chords '{text}': {len(bars)} bars, and the mix has {there} of {beats_per_bar} beats; give fewer, or "
            "another tempo (--bpm)"
        )
    last = beats[-1] + (beats[-1] - beats[-2]) * np.arange(1, beats_per_bar + 1)  # a last bar may be cut off
    grid, chords = np.concatenate([beats, last]), []
    for number in range(there):
        symbols = bars[number % len(bars)]
        places = (number + np.arange(len(symbols) + 1) / len(symbols)) * beats_per_bar
        edges = np.interp(places, np.arange(len(grid)), grid)
        for symbol, start, end in zip(symbols, edges, edges[1:], strict=False):
            if start <= beats[-1]:
                chords.append(Chord(float(start), float(end), symbol, *parse_chord(symbol)))
    return tuple(chords)


def refuse_unreadable(symbol: str, where: str) -> None:
    """Raise BadInputError, naming the character at fault, if there is no such chord."""
    read = len(symbol) - len(symbol[1:].lstrip("#b")) if symbol[0] in "ABCDEFG" else 0
    root = symbol[:read]
    if root and symbol.removeprefix(root) in QUALITIES:
        return
    while root and any(quality.startswith(symbol[len(root) : read + 1]) for quality in QUALITIES):
        if read == len(symbol):
            break
        read += 1
    fault = f"'{symbol[read]}' is not expected there" if read < len(symbol) else "something is missing at its end"
    known = ", ".join(name for name in QUALITIES if name)
    raise BadInputError(
        f"{where}: '{symbol}' cannot be read, {fault}; a chord is a root from A to G, # or b, and nothing or {known}"
    )
