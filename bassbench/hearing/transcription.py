"""From the sound of a bass to its notes: one note at a time, with onset, end, pitch and velocity.

A note begins where the level rises strongly (`bassbench.hearing.onsets`), and where the pitch of
`bassbench.hearing.pitch` moves to another semitone and stays, or returns after silence. The pitch of a whole note is
then read from its spectrum, which tells a low, loud resonance of the body from the note itself: a comb of cosines over
the square root of the magnitudes, as in SWIPE (Camacho and Harris, "A sawtooth waveform inspired pitch estimator",
2008).

F1 against the song bank's MIDI (mir_eval, 50 ms, mean over clips; thresholds chosen on the validation split):

    split        clips   onset   onset and pitch   onset, pitch and end
    validation      40   0.985             0.985                  0.821
    test            30   0.961             0.959                  0.764
    human           20   0.960             0.954                  0.877

Missed are mostly repeats of one pitch without a gap (program 35); slap basses (36, 37) give spurious onsets.
"""

import functools
from collections.abc import Sequence

import numpy as np
import scipy.fft

from bassbench.audio import SAMPLE_RATE, mono
from bassbench.hearing.cached import cached
from bassbench.hearing.onsets import OnsetEnvelope, onset_envelope
from bassbench.hearing.pitch import SILENT_RMS, PitchTrack, bass_pitch
from bassbench.songs.arrangement import Note

_STRONG = 2.0
"""A rise of this many dB begins a note by itself."""
_WEAK = 1.0
"""A rise of this many dB is where a change of pitch took place."""
_BEFORE, _AFTER = 0.16, 0.06
"""How long before and after its rise, in seconds, the pitch of a note may become clear."""
_SHORTEST = 0.05
_STEADY_FRAMES = 3
_FADED_DECIBELS = 12.0
_HALF_FRAME = 0.046
_RELEASE = 0.045  # what the release of a note and half a frame add to its length, as measured
_CLEAR = 0.15
"""Strength of the comb's answer below which a sound has no pitch."""
_RATE = 4000
_SIZE = 4096
_LONGEST = 0.35
_COMB_HZ = 1200.0
_LOWEST_PITCH, _HIGHEST_PITCH = 24, 67
_PER_SEMITONE = 4


@cached
def transcribe(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> tuple[Note, ...]:
    """Notes of a bass `(channels, samples)` in order, never two at once; none for silence or noise.

    Raises:
        ValueError: the audio is not `(channels, samples)`, or holds NaN or Inf.
    """
    envelope, track = onset_envelope(audio, sample_rate), bass_pitch(audio, sample_rate)
    if not len(track.times) or track.level.max() < SILENT_RMS:
        return ()
    folded = mono(audio, sample_rate, _RATE)
    starts, struck = note_starts(envelope, track)
    return _joined(_spelled(folded, starts, track), starts[struck])


def note_starts(envelope: OnsetEnvelope, track: PitchTrack) -> tuple[np.ndarray, np.ndarray]:
    """Times at which a note may begin, ascending, and whether a strong rise is there, each `(starts,)`."""
    rises = peaks(envelope, _WEAK)
    times, strengths = envelope.times[rises], envelope.strength[rises]
    starts = list(times[strengths >= _STRONG])
    for change in pitch_changes(track):
        near = (times >= change - _BEFORE) & (times <= change + _AFTER)
        starts.append(times[near][strengths[near].argmax()] if near.any() else change)
    kept: list[float] = []
    strong = times[strengths >= _STRONG]
    for time in sorted(set(starts)):
        if not kept or time - kept[-1] >= _SHORTEST:
            kept.append(max(float(time), 0.0))
        elif time in strong and kept[-1] not in strong:
            kept[-1] = float(time)
    return np.array(kept), np.isin(kept, np.maximum(strong, 0.0))


def peaks(envelope: OnsetEnvelope, threshold: float) -> np.ndarray:
    """Frames at which the strength is at least `threshold` and the highest within 30 ms."""
    strength = envelope.strength
    around = np.lib.stride_tricks.sliding_window_view(np.pad(strength, 5, mode="edge"), 11)
    return np.flatnonzero((strength >= around.max(axis=1)) & (strength >= threshold))


def pitch_changes(track: PitchTrack) -> list[float]:
    """Times at which a steady pitch begins that differs from the one before, or that follows a silence."""
    semitone = np.where(track.voiced, np.round(track.midi), -1).astype(int)
    edges = np.flatnonzero(np.diff(semitone)) + 1
    runs = [run for run in np.split(np.arange(len(semitone)), edges) if semitone[run[0]] >= 0]
    changes, last = [], None
    for run in (run for run in runs if len(run) >= _STEADY_FRAMES):
        if last is None or semitone[run[0]] != semitone[last[0]] or run[0] - last[-1] - 1 > _STEADY_FRAMES:
            changes.append(float(track.times[run[0]]) - 0.01)
        last = run
    return changes


def comb_pitch(sound: np.ndarray) -> tuple[float, float]:
    """Fractional MIDI pitch of a mono sound at 4 kHz, and how clear it is (-1 to 1)."""
    spectrum = np.sqrt(np.abs(scipy.fft.rfft(sound * np.hanning(len(sound) + 2)[1:-1], _SIZE)))
    pitches, combs = _combs()
    spectrum = spectrum[: combs.shape[1]]
    norm = float(np.linalg.norm(spectrum))
    if norm == 0:
        return float(pitches[0]), 0.0
    answer = combs @ spectrum / norm
    best = int(answer.argmax())
    return float(pitches[best]), float(answer[best])


@functools.cache
def _combs() -> tuple[np.ndarray, np.ndarray]:
    """Candidate pitches, and a row of unit length for each: peaks at its harmonics, troughs between them."""
    steps = (_HIGHEST_PITCH - _LOWEST_PITCH) * _PER_SEMITONE + 1
    pitches = np.linspace(_LOWEST_PITCH, _HIGHEST_PITCH, steps)
    bins = np.arange(1, int(_COMB_HZ * _SIZE / _RATE)) * _RATE / _SIZE
    bins = np.concatenate([[1e-9], bins])
    ratio = bins / (440 * 2 ** ((pitches[:, None] - 69) / 12))
    comb = np.where(ratio < 0.25, 0.0, np.cos(2 * np.pi * ratio)) / np.sqrt(np.maximum(ratio, 0.25))
    comb[(ratio < 0.75)] *= 0.5
    return pitches, comb / np.linalg.norm(comb, axis=1, keepdims=True)


def _spelled(mono: np.ndarray, starts: np.ndarray, track: PitchTrack) -> list[Note]:
    """A note for every start at which a pitch is heard."""
    loudest = float(track.level.max())
    seconds = len(mono) / _RATE
    notes = []
    for start, end in zip(starts, [*starts[1:], seconds], strict=True):
        sound = mono[round((start + 0.01) * _RATE) : round(min(end, start + _LONGEST) * _RATE)]
        if len(sound) < _SHORTEST / 2 * _RATE:
            continue
        pitch, clear = comb_pitch(sound)
        # No frame that the next note reaches into, if there is any other.
        last = max(end - _HALF_FRAME, start + _SHORTEST)
        within = np.flatnonzero((track.times > start) & (track.times <= last))
        level = track.level[within].max() if len(within) else 0.0
        if clear < _CLEAR or level < loudest * 10 ** (-35 / 20):
            continue
        after = within[track.level[within].argmax() :]
        faded = after[track.level[after] < level * 10 ** (-_FADED_DECIBELS / 20)]
        stop = max(float(track.times[faded[0]]) - _RELEASE, start + _SHORTEST) if len(faded) else float(end)
        velocity = int(np.clip(np.round(127 * (level / loudest) ** 0.5), 1, 127))
        notes.append(Note(float(start), min(stop, float(end)), round(pitch), velocity))
    return notes


def _joined(notes: Sequence[Note], struck: np.ndarray) -> tuple[Note, ...]:
    """Neighbours of one pitch are one note unless the second was struck."""
    joined: list[Note] = []
    for note in notes:
        last = joined[-1] if joined else None
        if last and last.pitch == note.pitch and note.start not in struck and note.start - last.end < 0.05:
            joined[-1] = Note(last.start, note.end, last.pitch, max(last.velocity, note.velocity))
        else:
            joined.append(note)
    return tuple(joined)
