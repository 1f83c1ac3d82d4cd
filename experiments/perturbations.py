"""Graded ways to damage a bass: anchors, each (clip, another song's clip, seed) -> bass `(2, samples)`.

Basses that are played again are as loud as the real one. "played again" itself is the control: it changes nothing that
a listener would mind, so a metric that tells it from the real bass hears the rendering, not the damage.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from bassbench.audio import SAMPLE_RATE
from bassbench.songs.arrangement import BASS_PROGRAMS, bass_part
from bassbench.songs.render import Clip
from bassbench.suite.anchors import Anchor, Codec, codec_ceiling, half_beat, noise, other_song, played_again, silence

VERSION = 1  # raise it when what a damage gives changes
CONTROL, CODEC = "played again", "codec"
SEMITONES = (1, 2, 3, 6, 7, 12)
BEATS = (0.125, 0.25, 0.5, 1.0, 2.0)
NOISE_DB = (40, 20, 10, 0)
LOW_PASS_HZ = (4000, 1000, 250)
CLIPPED_DB = (6, 12, 24)


def graded_perturbations(codec: Codec | None = None) -> dict[str, Anchor]:
    """All by name, each kind from the slightest to the worst; without a codec there is no damage by it."""
    ways: dict[str, Anchor] = {CONTROL: functools.partial(_played, semitones=0)}
    for semitones in SEMITONES:
        ways[f"up {semitones} semitone{'s' * (semitones > 1)}"] = functools.partial(_played, semitones=semitones)
    for beats in BEATS:
        ways[f"late by {beats:g} beat{'s' * (beats > 1)}"] = functools.partial(late, beats=beats)
    ways["1 % too slow"] = functools.partial(_played, semitones=0, stretch=1.01)
    ways["other song"] = other_song
    ways["other program"] = functools.partial(_played, semitones=0, programs=len(BASS_PROGRAMS) // 2)
    for decibels in NOISE_DB:
        ways[f"noise, SNR {decibels} dB"] = functools.partial(_noisy, decibels=decibels)
    ways["noise alone"] = noise
    if codec is not None:
        ways[CODEC] = codec_ceiling(codec)
    for hertz in LOW_PASS_HZ:
        ways[f"low-pass {hertz} Hz"] = functools.partial(_low_passed, hertz=hertz)
    for decibels in CLIPPED_DB:
        ways[f"clipped by {decibels} dB"] = functools.partial(_clipped, decibels=decibels)
    ways["6 dB quieter"] = functools.partial(_faded, start=6.0, stop=6.0)
    ways["fades by 20 dB"] = functools.partial(_faded, start=0.0, stop=20.0)
    ways["second half silent"] = _half_silent
    ways["right channel inverted"] = _inverted
    ways["silence"] = silence
    return ways


def style_clip(clip: Clip, other: Clip) -> np.ndarray:
    """The bass of another song played with the sound of this clip's, `(2, samples)`: a style with other notes.

    Clips whose notes or program are unknown are their own style.
    """
    if not _known(clip) or not other.bass_notes:
        return clip.bass
    return played_again(clip, bass_part(clip.bass_program, other.bass_notes))


def _known(clip: Clip) -> bool:
    return bool(clip.bass_notes) and clip.bass_program in BASS_PROGRAMS


def played_by(program: int, clip: Clip, soundfont: Path | None = None) -> np.ndarray:
    """The notes of the clip's bass played by a General-MIDI program, as loud as the clip's bass, `(2, samples)`."""
    return played_again(clip, bass_part(program, clip.bass_notes), soundfont)


def late(clip: Clip, other: Clip, seed: int, *, beats: float) -> np.ndarray:
    """The bass so many beats late, the end coming in at the start, `(2, samples)`."""
    return np.roll(clip.bass, round(2 * beats * half_beat(clip)), axis=1)


def _played(
    clip: Clip, other: Clip, seed: int, *, semitones: int, stretch: float = 1.0, programs: int = 0
) -> np.ndarray:
    """The clip's notes played again; a clip without known notes is given back as it is."""
    if not _known(clip):
        return clip.bass
    place = BASS_PROGRAMS.index(clip.bass_program) + programs
    notes = tuple(
        dataclasses.replace(n, start=n.start * stretch, end=n.end * stretch, pitch=min(n.pitch + semitones, 127))
        for n in clip.bass_notes
    )
    return played_again(clip, bass_part(BASS_PROGRAMS[place % len(BASS_PROGRAMS)], notes))


def _noisy(clip: Clip, other: Clip, seed: int, *, decibels: float) -> np.ndarray:
    """Pink noise below the bass by so many dB of power."""
    added = noise(clip, other, seed)
    power = float(np.mean(np.square(clip.bass, dtype=np.float64))), float(np.mean(np.square(added, dtype=np.float64)))
    gain = np.sqrt(power[0] / max(power[1], 1e-20)) * 10 ** (-decibels / 20)
    return clip.bass + np.float32(gain) * added


def _low_passed(clip: Clip, other: Clip, seed: int, *, hertz: float) -> np.ndarray:
    sections = butter(4, hertz, fs=SAMPLE_RATE, output="sos")
    return sosfiltfilt(sections, clip.bass, axis=1).astype(np.float32)


def _clipped(clip: Clip, other: Clip, seed: int, *, decibels: float) -> np.ndarray:
    """Driven into full scale: the peak would lie so many dB above it."""
    peak = float(np.abs(clip.bass).max())
    if not peak:
        return clip.bass
    return np.clip(clip.bass * np.float32(10 ** (decibels / 20) / peak), -1.0, 1.0)


def _faded(clip: Clip, other: Clip, seed: int, *, start: float, stop: float) -> np.ndarray:
    """Quieter by `start` dB in the beginning and `stop` dB in the end."""
    gain = 10 ** (-np.linspace(start, stop, clip.bass.shape[1]) / 20)
    return clip.bass * gain.astype(np.float32)


def _half_silent(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    bass = clip.bass.copy()
    bass[:, bass.shape[1] // 2 :] = 0.0
    return bass


def _inverted(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    return clip.bass * np.array([[1.0], [-1.0]], dtype=np.float32)
