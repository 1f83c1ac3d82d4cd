"""Composes one song, cleans its MIDI and describes it for the index."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from bassbench.songs.compose.bass_line import bass_instrument, fit_register, merge_by_role, monophonic
from bassbench.songs.compose.form import Plan, draw_plan, mma_text
from bassbench.songs.compose.grooves import run_mma, split_bass
from bassbench.songs.compose.splits import SEED, Slot
from bassbench.songs.song_bank import parse_chord

ATTEMPTS = 6
FASTEST = 8  # bass notes a second


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
