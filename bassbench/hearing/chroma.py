"""What a mix sounds like harmonically where its notes are unknown: chroma from the audio, and a key from the chroma."""

from dataclasses import dataclass

import librosa
import numpy as np

from bassbench.audio import SAMPLE_RATE, mono
from bassbench.hearing.cached import cached
from bassbench.hearing.pitch import SILENT_RMS

_RATE = 11_025
_WINDOW = 4096  # 0.37 s: semitones are told apart from 110 Hz on
_HOP = 1024
# Krumhansl and Kessler's probe-tone ratings, C major and C minor (Krumhansl, "Cognitive Foundations of Musical
# Pitch", 1990).
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


@dataclass(frozen=True)
class Chroma:
    """Per frame, 93 ms apart: centre in seconds `(frames,)`, and strength of each pitch class from C `(frames, 12)`.

    Each frame's mean is 1; a silent frame is all zeros, silent audio has no frames.
    """

    times: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True)
class Key:
    """A key: its tonic (0 to 11, semitones above C) and its mode, "major" or "minor"."""

    tonic: int
    mode: str

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The seven of the major or natural minor scale."""
        return tuple((self.tonic + step) % 12 for step in _SCALES[self.mode])


@cached
def chroma(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Chroma:
    """Chroma of `(channels, samples)`, folded down to mono, from magnitudes (librosa).

    Raises:
        ValueError: the audio is not `(channels, samples)`, or holds NaN or Inf.
    """
    folded = mono(audio, sample_rate, _RATE)
    if not folded.size or np.sqrt(np.mean(folded**2)) < SILENT_RMS:
        return Chroma(np.zeros(0), np.zeros((0, 12)))
    magnitude = np.abs(librosa.stft(folded, n_fft=_WINDOW, hop_length=_HOP))
    strength = librosa.feature.chroma_stft(S=magnitude, sr=_RATE, n_fft=_WINDOW, tuning=0.0, norm=None).T
    mean = strength.mean(axis=1, keepdims=True)
    strength = np.divide(strength, mean, out=np.zeros_like(strength), where=mean > 0)
    return Chroma(np.arange(len(strength)) * _HOP / _RATE, strength)


def estimated_key(frames: Chroma) -> Key | None:
    """The key whose Krumhansl-Kessler profile correlates best with the mean chroma; None for silence."""
    mean = frames.strength.mean(axis=0) if len(frames.strength) else np.zeros(12)
    if np.ptp(mean) == 0:
        return None
    profiles = {Key(k, mode): np.roll(ratings, k) for mode, ratings in _PROFILES.items() for k in range(12)}
    return max(profiles, key=lambda key: float(np.corrcoef(profiles[key], mean)[0, 1]))
