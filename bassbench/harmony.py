"""Does the bass play the harmony?  Conventions: pitch classes count semitones above C, A4 = 440 Hz, times in seconds.

Chord-tone share: of the frames in which the bass sounds at a clear pitch, the share whose nearest pitch class belongs
to the chord sounding at that moment. Octaves do not matter, so octave errors of the pitch tracker do not either.
"""

from collections.abc import Sequence

import numpy as np

from bassbench.pitch import PitchTrack
from bassbench.song_bank import Chord


def validate(track: PitchTrack, chords: Sequence[Chord]) -> None:
    """Check the input of this module's metrics.

    Raises:
        ValueError: the arrays of the track differ in length, a voiced f0 is not positive, or there are no chords.
    """
    if not len(track.times) == len(track.f0) == len(track.voiced):
        raise ValueError("times, f0 and voiced must have one value per frame each")
    if not (track.f0[track.voiced] > 0).all():
        raise ValueError("f0 of voiced frames must be positive, in Hz")
    if not chords:
        raise ValueError("the chords of this clip are unknown; the chord-tone share needs them")


def pitch_classes(f0: np.ndarray) -> np.ndarray:
    """Nearest pitch class (0 to 11) of each f0 in Hz, `(frames,)`."""
    return np.round(69 + 12 * np.log2(f0 / 440)).astype(int) % 12


def chord_at(times: np.ndarray, chords: Sequence[Chord]) -> np.ndarray:
    """Index of the chord that sounds at each time, -1 where none does, `(frames,)`."""
    order = np.argsort([chord.start for chord in chords], kind="stable")
    starts = np.array([chords[i].start for i in order])
    ends = np.array([chords[i].end for i in order])
    position = np.searchsorted(starts, times, side="right") - 1
    sounding = (position >= 0) & (times < ends[position])
    return np.where(sounding, order[position], -1)


def chord_tone_share(track: PitchTrack, chords: Sequence[Chord]) -> float:
    """Share of voiced frames, among those with a known chord, whose pitch class is a tone of it.

    NaN if no frame counts: a clip without a pitched bass has no share (how it is scored is the caller's protocol).

    Raises:
        ValueError: see `validate`.
    """
    validate(track, chords)
    voiced = track.voiced
    index = chord_at(track.times[voiced], chords)
    counted = index >= 0
    if not counted.any():
        return float("nan")
    belongs = np.zeros((len(chords), 12), dtype=bool)
    for row, chord in enumerate(chords):
        belongs[row, [pitch % 12 for pitch in chord.pitch_classes]] = True
    return float(belongs[index[counted], pitch_classes(track.f0[voiced][counted])].mean())


def voiced_share(track: PitchTrack) -> float:
    """Share of all frames in which the bass sounds at a clear pitch; 0 without frames."""
    return float(track.voiced.mean()) if len(track.voiced) else 0.0
