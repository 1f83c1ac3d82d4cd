"""Three ways to say how well a bass fits a mix: the contrastive matcher, and two that anyone would try first.

Each hears a clip as an array whose last axis is time, can move what it heard in pitch and time, and compares many mixes
with many basses.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Protocol

import librosa
import numpy as np

from bassbench.audio import SAMPLE_RATE, resample
from contrastive.encoder import Matcher
from contrastive.features import VERSION as FEATURES_VERSION
from contrastive.features import Place, features, view
from contrastive.scoring import score_features

_RATE = 22_050
_HOP = 512


class Listener(Protocol):
    """A system under test."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def key(self) -> str:
        """All that `hear` depends on beside the audio."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Frame rate of what is heard."""
        ...

    def hear(self, audio: np.ndarray) -> np.ndarray:
        """What is kept of audio `(2, samples)`: an array `(..., frames)`."""
        ...

    def move(self, heard: np.ndarray, start: float, rate: float, semitones: int, frames: int) -> np.ndarray:
        """The same from frame `start` on, `rate` times as fast and `semitones` (at most 6) higher, in `frames`."""
        ...

    def compare(self, mixes: Sequence[np.ndarray], basses: Sequence[np.ndarray]) -> np.ndarray:
        """Similarity `(mixes, basses)` of things heard, of one length."""
        ...


@dataclass(frozen=True)
class MatcherListener:
    """The contrastive matcher."""

    matcher: Matcher
    name: str = "contrastive matcher"

    @property
    def key(self) -> str:
        """The features' version and configuration."""
        return json.dumps([FEATURES_VERSION, asdict(self.matcher.config.features)], sort_keys=True)

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the features."""
        return self.matcher.config.features.frames_per_second

    def hear(self, audio: np.ndarray) -> np.ndarray:
        """Features uint8 `(bins, frames)`."""
        return features(audio, self.matcher.config.features)

    def move(self, heard: np.ndarray, start: float, rate: float, semitones: int, frames: int) -> np.ndarray:
        """Features of the moved clip; the room above and below is filled from its edges and never seen."""
        config = self.matcher.config.features
        seen = view(heard, Place(start, rate, semitones), frames, config)
        room = config.room * config.bins_per_semitone
        padded = np.pad(seen[: config.view], ((room, room), (0, 0)), mode="edge")
        return np.concatenate([padded, seen[config.view :]])

    def compare(self, mixes: Sequence[np.ndarray], basses: Sequence[np.ndarray]) -> np.ndarray:
        """The matcher's own scoring path."""
        return score_features(mixes, basses, self.matcher)


@dataclass(frozen=True)
class CorrelationListener:
    """Pearson correlation over time of what librosa hears: "chroma" or "onset" envelope."""

    kind: str

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"{self.kind} correlation"

    @property
    def key(self) -> str:
        """The kind and librosa's version."""
        return json.dumps([self.kind, version("librosa")])

    @property
    def frames_per_second(self) -> float:
        """Frame rate."""
        return _RATE / _HOP

    def hear(self, audio: np.ndarray) -> np.ndarray:
        """Chroma `(12, frames)` (4096-sample window) or onset envelope `(1, frames)` of the mono sum."""
        mono = resample(audio, SAMPLE_RATE, _RATE).mean(axis=0)
        if self.kind == "chroma":
            # The tuning is known: an estimate would differ between a clip and its transposition.
            return librosa.feature.chroma_stft(y=mono, sr=_RATE, n_fft=4096, hop_length=_HOP, tuning=0.0)
        return librosa.onset.onset_strength(y=mono, sr=_RATE, hop_length=_HOP)[None]

    def move(self, heard: np.ndarray, start: float, rate: float, semitones: int, frames: int) -> np.ndarray:
        """Rolled pitch classes at nearest frames."""
        columns = np.rint(start + rate * np.arange(frames)).astype(int).clip(0, heard.shape[1] - 1)
        return np.roll(heard[:, columns], semitones if self.kind == "chroma" else 0, axis=0)

    def compare(self, mixes: Sequence[np.ndarray], basses: Sequence[np.ndarray]) -> np.ndarray:
        """Correlation over all entries, each row of a clip (a pitch class) without its mean; silence gives 0."""
        return _standardised(mixes) @ _standardised(basses).T


def _standardised(clips: Sequence[np.ndarray]) -> np.ndarray:
    flat = np.stack([(clip - clip.mean(axis=1, keepdims=True)).ravel() for clip in clips]).astype(np.float64)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
