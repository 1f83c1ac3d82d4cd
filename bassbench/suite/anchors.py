"""The anchors that every metric is shown beside: what the real bass scores, and what broken ones do.

An anchor is a function (clip, another song's clip, seed) -> bass `(2, samples)`, so that each can stand in for a
generated bass. A metric of sets (FAD) cannot tell "other song" from the real bass: it is the same set; a metric of
pairs can. A metric that cannot rank the anchors that it is meant to tell apart is not ready.
"""

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np

from bassbench.audio import SAMPLE_RATE, fit_length, loudness, loudness_normalise
from bassbench.songs.arrangement import Note, Part, bass_part
from bassbench.songs.render import Clip
from bassbench.songs.soundfont import render_parts

Anchor = Callable[[Clip, Clip, int], np.ndarray]
Codec = Callable[[np.ndarray], np.ndarray]
"""Audio `(2, samples)` -> the same audio through an autoencoder, `(2, samples)`."""

VERSION = 1  # raise it when what an anchor gives changes
_UNKNOWN_TEMPO = 120.0
REAL, CODEC, OTHER = "real bass", "real bass through the codec", "bass of another song"


def anchors(codec: Codec | None = None) -> dict[str, Anchor]:
    """The ladder by name, best first; without a codec there is no codec ceiling."""
    ceiling = {CODEC: codec_ceiling(codec)} if codec is not None else {}
    return {
        REAL: real,
        **ceiling,
        OTHER: other_song,
        "shifted by half a beat": half_beat_late,
        "up a semitone": semitone_up,
        "silence": silence,
        "noise": noise,
    }


def derangement(count: int, *, generator: np.random.Generator) -> np.ndarray:
    """A random pairing in which nobody is their own partner: one cycle through all, `(count,)`.

    Raises:
        ValueError: fewer than two to pair.
    """
    if count < 2:
        raise ValueError("pairing each song with another takes at least two songs")
    order = generator.permutation(count)
    partner = np.empty(count, dtype=int)
    partner[order] = np.roll(order, 1)
    return partner


def real(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """The clip's own bass."""
    return clip.bass


def other_song(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """The bass of another song, of the clip's length."""
    return fit_length(other.bass, clip.bass.shape[1])


def codec_ceiling(codec: Codec) -> Anchor:
    """The best that a system which decodes with this codec can do."""

    def through_codec(clip: Clip, other: Clip, seed: int) -> np.ndarray:
        return fit_length(codec(clip.bass), clip.bass.shape[1])

    return through_codec


def half_beat(clip: Clip) -> int:
    """Half a beat in samples, at 120 BPM where neither beats nor tempo are known."""
    beat = float(np.median(np.diff(clip.beats))) if len(clip.beats) > 1 else 60.0 / (clip.tempo or _UNKNOWN_TEMPO)
    return round(beat / 2 * SAMPLE_RATE)


def half_beat_late(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """The clip's own bass half a beat late; what falls off the end comes in at the start."""
    return np.roll(clip.bass, half_beat(clip), axis=1)


def semitone_up(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """The clip's own bass a semitone higher: played again from its notes where they are known, else pitch-shifted."""
    if not clip.bass_notes or clip.bass_program < 0:
        shifted = librosa.effects.pitch_shift(clip.bass, sr=SAMPLE_RATE, n_steps=1)
        return fit_length(shifted.astype(np.float32), clip.bass.shape[1])
    notes = tuple(Note(n.start, n.end, min(n.pitch + 1, 127), n.velocity) for n in clip.bass_notes)
    return played_again(clip, bass_part(clip.bass_program, notes))


def played_again(clip: Clip, part: Part, soundfont: Path | None = None) -> np.ndarray:
    """A part played in place of the clip's bass, as loud as that bass, `(2, samples)`; silent where that is silent."""
    played = render_parts([part], clip.seconds, soundfont=soundfont)
    return _as_loud_as(clip.bass, fit_length(played, clip.bass.shape[1]))


def silence(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """Digital zeros."""
    return np.zeros_like(clip.bass)


def noise(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """Pink noise from 20 Hz, the same in both channels, as loud as the clip's own bass."""
    generator = np.random.default_rng([seed, 0x9147])
    samples = clip.bass.shape[1]
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    pink = np.fft.irfft(np.where(frequency >= 20, spectrum / np.sqrt(np.maximum(frequency, 20)), 0), samples)
    return _as_loud_as(clip.bass, np.tile(pink.astype(np.float32), (2, 1)))


def _as_loud_as(target: np.ndarray, audio: np.ndarray) -> np.ndarray:
    level = loudness(target)
    return loudness_normalise(audio, level) if np.isfinite(level) else np.zeros_like(target)
