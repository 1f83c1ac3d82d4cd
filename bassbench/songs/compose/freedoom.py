"""The human split: pieces of the Freedoom project, written by people. For testing only, never for training."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from bassbench.songs.compose.bass_line import (
    BASS_PROGRAMS,
    bass_instrument,
    fit_register,
    merge_by_role,
    monophonic,
    simultaneous_share,
)

WINDOW = 23.8  # seconds of a clip
FEWEST_BASS_NOTES = 16
# Registered parameters (bend range and the like): pretty_midi may write them out of order.
_PARAMETER_CONTROLS = (6, 38, 98, 99, 100, 101)


def human_songs(folder: Path) -> list[tuple[dict[str, Any], bytes]]:
    """Index entries and MIDI of all usable pieces in `folder`, in order of their file names."""
    songs = [human_song(path) for path in sorted(folder.glob("*.mid"))]
    return [song for song in songs if song is not None]


def human_song(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """One piece with its bass as one line, or None where it has no usable bass or no well-filled window.

    Instruments come by the channel's program when a note sounds, so a bass that wanders over channels is one.
    """
    source = pretty_midi.PrettyMIDI(str(path))
    low = [t for t in source.instruments if not t.is_drum and t.program in BASS_PROGRAMS and t.notes]
    low = [t for t in low if simultaneous_share(t.notes) <= 0.3]
    others = [t for t in source.instruments if t.is_drum or t.program not in BASS_PROGRAMS]
    line = monophonic([note for track in low for note in track.notes])
    if len(line) < FEWEST_BASS_NOTES or source.get_end_time() < WINDOW + 0.2:
        return None
    program = max(low, key=lambda track: len(track.notes)).program
    fit_register(line)
    for track in others:
        _name_by_family(track)
        numbers = {change.number for change in track.control_changes}
        if numbers & set(_PARAMETER_CONTROLS):
            # Without their bend range the bends would be of the wrong size.
            track.pitch_bends = []
        track.control_changes = [
            change for change in track.control_changes if change.number not in (0, 32, *_PARAMETER_CONTROLS)
        ]
    tracks = merge_by_role(others)
    window = best_window(line, [note for track in tracks for note in track.notes])
    if window is None or len(tracks) < 2:
        return None
    piece = pretty_midi.PrettyMIDI(resolution=source.resolution, initial_tempo=120)
    # The tempo map is pretty_midi's private table: there is no public way to copy it.
    piece._tick_scales = list(source._tick_scales)
    piece._update_tick_to_time(source.time_to_tick(source.get_end_time()) + source.resolution)
    piece.time_signature_changes = source.time_signature_changes[:]
    piece.instruments = [bass_instrument(line, program), *tracks]
    buffer = io.BytesIO()
    piece.write(buffer)
    midi = buffer.getvalue()
    return _entry(path, source, window) | {"midi_bytes": len(midi)}, midi


def _name_by_family(track: pretty_midi.Instrument) -> None:
    """Name a track by its General MIDI family: composers' own track names are titles and credits."""
    if not track.is_drum:
        track.name = pretty_midi.program_to_instrument_class(track.program).split()[0].lower()


def best_window(bass: Sequence[Any], rest: Sequence[Any]) -> float | None:
    """Start of the 23.8 s in which the bass sounds in most seconds, at whole seconds; None if none is full.

    Full: bass in at least 75 % of the seconds, the rest in at least 90 %.
    """
    seconds = int(max(note.end for note in [*bass, *rest])) + 1
    sounding = []
    for notes in (bass, rest):
        filled = np.zeros(seconds + 1)
        for note in notes:
            filled[int(note.start) : int(np.ceil(note.end))] = 1
        sounding.append(filled)
    length = int(np.ceil(WINDOW))
    best, found = (0.0, 0.0), None
    for start in range(0, seconds - length + 1):
        share = [float(np.mean(filled[start : start + length])) for filled in sounding]
        if share[0] >= 0.75 and share[1] >= 0.9 and (share[0], share[1]) > best:
            best, found = (share[0], share[1]), float(start)
    return found


def _entry(path: Path, source: pretty_midi.PrettyMIDI, window: float) -> dict[str, Any]:
    """Index entry; the tempo is the one at the window's middle."""
    times, tempos = source.get_tempo_changes()
    current = max(int(np.searchsorted(times, window + WINDOW / 2, side="right")) - 1, 0)
    signatures = source.time_signature_changes
    return {
        "name": path.stem,
        "tempo": round(float(tempos[current]), 3),
        "key": "",
        "beats_per_bar": signatures[0].numerator if signatures else 4,
        "beats": [round(float(time), 4) for time in source.get_beats()],
        "downbeats": [round(float(time), 4) for time in source.get_downbeats()],
        "duration": round(float(source.get_end_time()), 3),
        "component": "freedoom",
        "progression": "",
        "window": window,
    }
