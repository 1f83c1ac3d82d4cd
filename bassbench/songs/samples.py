"""Recorded sounds under CC0 (Debian package `sonic-pi-samples`): drum loops, one-shot drums, guitars and basses."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE, resample, to_stereo
from bassbench.songs.arrangement import Note
from bassbench.songs.song_bank import Chord

LOOPS: dict[str, int] = {
    "loop_amen": 4, "loop_amen_full": 16, "loop_breakbeat": 4, "loop_compus": 16, "loop_mehackit1": 4,
    "loop_mehackit2": 4, "loop_perc1": 4, "loop_perc2": 4, "loop_tabla": 16, "loop_industrial": 2,
}  # fmt: skip
"""Beats of each loop without pitch, as recorded."""
DRUMS: dict[str, tuple[str, ...]] = {
    "kick": (*(f"bd_{name}" for name in ("808", "ada", "boom", "fat", "gas", "haus", "klub", "pure", "sone", "tek",
                                         "zome", "zum")), "drum_heavy_kick", "drum_bass_hard", "elec_soft_kick"),
    "snare": ("sn_dolf", "sn_dub", "sn_generic", "sn_zome", "drum_snare_hard", "drum_snare_soft", "elec_snare",
              "elec_hi_snare", "elec_lo_snare", "elec_mid_snare", "elec_filt_snare", "perc_snap", "perc_snap2"),
    "hat": ("drum_cymbal_closed", "drum_cymbal_pedal", "elec_tick", "elec_cymbal", "tabla_ke1", "tabla_te_ne"),
    "open": ("drum_cymbal_open", "drum_cymbal_soft", "drum_splash_soft", "elec_cymbal", "drum_cymbal_hard"),
    "tom": ("drum_tom_mid_hard", "drum_tom_lo_hard", "drum_tom_hi_soft", "elec_fuzz_tom", "tabla_ghe3", "elec_wood"),
}  # fmt: skip
"""Which recordings may play each piece of a kit."""
BASSES: dict[str, float] = {"bass_thick_c": 35.92, "bass_trance_c": 35.93, "bass_woodsy_c": 35.94}
"""Recorded basses and their MIDI pitch."""
GUITARS: dict[str, tuple[float, str]] = {"guit_e_fifths": (52.04, "fifth"), "guit_em9": (52.1, "minor")}
"""Recorded guitars: MIDI pitch of their root, and the chords that they fit."""


def piece(pitch: int) -> str:
    """The piece of a kit that a General-MIDI drum note is nearest to."""
    if pitch in (35, 36):
        return "kick"
    if pitch in (37, 38, 39, 40):
        return "snare"
    if pitch in (42, 44, 54, 69, 70, 82):
        return "hat"
    return "open" if pitch in (46, 49, 51, 52, 53, 55, 57, 59) else "tom"


@functools.lru_cache(maxsize=64)
def recording(folder: Path, name: str) -> np.ndarray:
    """One recording as float32 `(2, samples)` at a peak of 1, without the silence before it."""
    audio, rate = soundfile.read(folder / f"{name}.flac", dtype="float32", always_2d=True)
    stereo = resample(to_stereo(audio.T, name=name), rate, SAMPLE_RATE)
    size = np.abs(stereo).max(axis=0)
    first = int(np.argmax(size > 0.02 * size.max()))
    return stereo[:, max(first - 40, 0) :] / size.max()


def play_kit(folder: Path, kit: Mapping[str, str], notes: Sequence[Note], samples: int) -> np.ndarray:
    """Drum notes on one-shot recordings, `kit` naming that of each piece, as float32 `(2, samples)`."""
    out = np.zeros((2, samples), np.float32)
    for note in notes:
        _add(out, recording(folder, kit[piece(note.pitch)]), note.start, (note.velocity / 127) ** 1.5)
    return out


def play_loop(folder: Path, name: str, beats: Sequence[float], samples: int) -> np.ndarray:
    """A loop brought to the song's tempo by resampling, from each beat that begins a round of it, `(2, samples)`.

    The tempo is halved or doubled where that is nearer to the recording's.
    """
    out = np.zeros((2, samples), np.float32)
    if len(beats) < 2:
        return out
    loop, count = recording(folder, name), LOOPS[name]
    beat = float(np.median(np.diff(beats)))
    ratio = beat * count / (loop.shape[1] / SAMPLE_RATE)
    octave = round(np.log2(ratio))
    count = max(round(count / 2**octave), 1)
    fitted = _stretched(loop, beat * count / (loop.shape[1] / SAMPLE_RATE))
    for start in beats[::count]:
        _add(out, fitted, start, 1.0)
    return out


def play_guitar(folder: Path, name: str, chords: Sequence[Chord], samples: int, *, cents: float) -> np.ndarray:
    """A recorded guitar struck at every chord that it fits, moved to its root, `(2, samples)`."""
    out = np.zeros((2, samples), np.float32)
    root, fits = GUITARS[name]
    for chord in chords:
        above = {(pitch - chord.root) % 12 for pitch in chord.pitch_classes}
        if 7 not in above or (fits == "minor" and 3 not in above):
            continue
        semitones = (chord.root - round(root) + 5) % 12 - 5 + round(root) - root + cents / 100
        _add(out, _held(recording(folder, name), semitones, chord.end - chord.start), chord.start, 1.0)
    return out


def play_bass(folder: Path, name: str, notes: Sequence[Note], samples: int, *, cents: float) -> np.ndarray:
    """A line on one recorded bass note, moved to every pitch by resampling, `(2, samples)`."""
    out = np.zeros((2, samples), np.float32)
    for note in notes:
        moved = _held(recording(folder, name), note.pitch - BASSES[name] + cents / 100, note.end - note.start)
        _add(out, moved, note.start, (note.velocity / 127) ** 1.5)
    return out


def _held(audio: np.ndarray, semitones: float, seconds: float, *, fade: float = 0.03) -> np.ndarray:
    """A recording at another pitch, of at most `seconds`, faded out after them."""
    count, tail = round(seconds * SAMPLE_RATE), round(fade * SAMPLE_RATE)
    ratio = 2 ** (-semitones / 12)
    needed = int((count + tail) / ratio) + 2
    moved = _stretched(audio[:, :needed], ratio)[:, : count + tail]
    if moved.shape[1] > count:
        moved[:, count:] *= np.linspace(1, 0, moved.shape[1] - count, dtype=np.float32)
    return moved


def _stretched(audio: np.ndarray, ratio: float) -> np.ndarray:
    """`ratio` times as long, and lower in proportion: linear interpolation, a copy."""
    places = np.arange(int((audio.shape[1] - 1) * ratio)) / ratio
    return np.stack([np.interp(places, np.arange(audio.shape[1]), channel) for channel in audio]).astype(np.float32)


def _add(out: np.ndarray, sound: np.ndarray, start: float, gain: float) -> None:
    at = max(round(start * SAMPLE_RATE), 0)
    length = min(sound.shape[1], out.shape[1] - at)
    if length > 0:
        out[:, at : at + length] += np.float32(gain) * sound[:, :length]
