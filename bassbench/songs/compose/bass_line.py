"""Turns any MIDI arrangement into one clean bass line and the other instruments, named by their role."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pretty_midi

BASS_PROGRAMS = range(32, 40)
LOWEST, HIGHEST = 28, 55  # E1 to G3
# Lines written by people centre on C2; whole lines move by octaves towards it.
CENTRE = 38
# pretty_midi hands out 15 melodic channels; one is the bass's.
MELODIC_TRACKS = 14


def simultaneous_share(notes: Sequence[Any], *, within: float = 0.03) -> float:
    """Share of notes that start within `within` seconds of the note before them (chords, not a line)."""
    starts = np.sort([note.start for note in notes])
    return float(np.mean(np.diff(starts) < within)) if len(starts) > 1 else 0.0


def monophonic(notes: Sequence[Any], *, within: float = 0.03) -> list[pretty_midi.Note]:
    """One note at a time: of notes that start together the lowest stays, each ends when the next begins."""
    line: list[pretty_midi.Note] = []
    for note in sorted(notes, key=lambda note: (note.start, note.pitch)):
        if line and note.start - line[-1].start < within:
            if note.pitch < line[-1].pitch:
                line[-1].pitch = note.pitch
            continue
        line.append(pretty_midi.Note(note.velocity, note.pitch, note.start, note.end))
    for note, following in itertools.pairwise(line):
        note.end = min(note.end, following.start)
    return [note for note in line if note.end - note.start >= 0.02]


def fit_register(notes: Sequence[Any]) -> float:
    """Move a line into E1 to G3 by octaves, in place; returns the share of notes that had to move alone."""
    pitches = np.array([note.pitch for note in notes])
    shifts = 12 * np.arange(-4, 5)
    inside = [np.mean((pitches + shift >= LOWEST) & (pitches + shift <= HIGHEST)) for shift in shifts]
    distance = [abs(np.median(pitches) + shift - CENTRE) for shift in shifts]
    best = min(range(len(shifts)), key=lambda index: (distance[index] > 9, -inside[index], distance[index]))
    for note in notes:
        note.pitch += int(shifts[best])
        while note.pitch < LOWEST:
            note.pitch += 12
        while note.pitch > HIGHEST:
            note.pitch -= 12
    return float(1 - inside[best])


def bass_instrument(notes: Sequence[Any], program: int) -> pretty_midi.Instrument:
    """The bass of a song: one instrument named "bass"."""
    bass = pretty_midi.Instrument(program, name="bass")
    bass.notes = sorted(notes, key=lambda note: note.start)
    return bass


def merge_by_role(
    instruments: Sequence[pretty_midi.Instrument], *, fewest_notes: int = 4
) -> list[pretty_midi.Instrument]:
    """Join instruments of one role and program (all drums: "drum"), number equal roles, keep the fullest.

    The role is the first word of an instrument's name. At most 14 melodic ones stay, a channel for each.
    """
    merged: dict[tuple[str, int], pretty_midi.Instrument] = {}
    for instrument in instruments:
        words = instrument.name.replace("-", " ").lower().split()
        role = "drum" if instrument.is_drum else (words[0] if words else "part")
        key = (role, 0 if instrument.is_drum else instrument.program)
        if key not in merged:
            merged[key] = pretty_midi.Instrument(key[1], instrument.is_drum, role)
        merged[key].notes += instrument.notes
        merged[key].control_changes += instrument.control_changes
        merged[key].pitch_bends += instrument.pitch_bends
    full = [track for track in merged.values() if len(track.notes) >= fewest_notes]
    full = sorted(full, key=lambda track: (track.is_drum, -len(track.notes), track.name, track.program))
    melodic = [track for track in full if not track.is_drum][:MELODIC_TRACKS]
    seen: dict[str, int] = {}
    for track in melodic:
        seen[track.name] = seen.get(track.name, 0) + 1
        if seen[track.name] > 1:
            track.name = f"{track.name} {seen[track.name]}"
    return melodic + [track for track in full if track.is_drum]
