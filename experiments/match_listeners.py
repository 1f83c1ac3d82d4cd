"""Three ways to say how well a bass fits a mix: the contrastive matcher, and two that anyone would try first.

Each is a listener: `hear` gives what it keeps of audio `(2, samples)`, an array `(..., frames)`, which depends on `key`
and the audio alone; `move` gives the same from a frame on, at another rate and so many semitones (at most 6) higher, in
as many frames as are asked for; `compare` gives the similarity `(mixes, basses)` of things heard, of one length.
"""

import functools
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import librosa
import numpy as np
from scipy.signal import fftconvolve

from bassbench.audio import SAMPLE_RATE, resample
from bassbench.cache import cache_folder, cache_path, content_hash
from bassbench.songs.arrangement import Note, bass_part
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip
from bassbench.songs.soundfont import render_parts
from bassbench.suite.anchors import Anchor, half_beat, noise, other_song
from bassbench.workers import in_processes
from contrastive.encoder import Matcher
from contrastive.features import VERSION as FEATURES_VERSION
from contrastive.features import Place, features, view
from contrastive.scoring import score_features
from contrastive.songs import tonic_of
from experiments import perturbations
from experiments.studies import Advance

_RATE = 22_050
_HOP = 512


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


Listener = MatcherListener | CorrelationListener
"""A system under test."""


def _standardised(clips: Sequence[np.ndarray]) -> np.ndarray:
    flat = np.stack([(clip - clip.mean(axis=1, keepdims=True)).ravel() for clip in clips]).astype(np.float64)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


SHIFTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Beats."""
SEMITONES = (-4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7)
CHANGES = ("low-pass 1000 Hz", "other program", "reverb", "mix leaks in")
"""What may happen to a bass that fits without its fitting any less."""
_VERSION = "1"  # raise it when a damaged or changed bass sounds different
_ONSET_TOLERANCE = 0.05
_LEAK = 10 ** (-12 / 20)


@dataclass(frozen=True)
class ClipFeatures:
    """What one listener heard of one clip: the mix, its bass, and other basses by name."""

    mix: np.ndarray
    bass: np.ndarray
    others: dict[str, np.ndarray]


@dataclass(frozen=True)
class About:
    """What is known of one clip: tonic (-1 unknown), tempo, the times of its bars in seconds, and its self-similarity.

    `same_late` is the share of the bass's notes that the line, so many beats late, plays too: see `same_notes`.
    """

    tonic: int
    tempo: float
    downbeats: np.ndarray
    same_late: dict[str, float]


def hear(
    requests: Sequence[ClipRequest], listeners: Sequence[Listener], processes: int, advance: Advance
) -> tuple[list[list[ClipFeatures]], list[About]]:
    """What every listener heard of every clip, by listener, and what is known of the clips."""
    work = functools.partial(hear_clip, tuple(listeners))
    pairs = list(zip(requests, [*requests[1:], requests[0]], strict=True))
    found = []
    for result in in_processes(work, pairs, processes):
        found.append(result)
        advance()
    return [list(clips) for clips in zip(*(heard for heard, _ in found), strict=True)], [about for _, about in found]


def hear_clip(
    listeners: Sequence[Listener], requests: tuple[ClipRequest, ClipRequest]
) -> tuple[list[ClipFeatures], About]:
    """One clip, its bass and the other basses, some of them from a second clip, heard by each listener."""
    clip, other = (cached_clip(request) for request in requests)
    names = [*misfits(), *changes()]
    folder = cache_folder("match_proof", content_hash(_VERSION, str(perturbations.VERSION), *names))
    sounds: list[np.ndarray] = []
    heard = []
    for listener in listeners:
        path = folder / content_hash(listener.key) / f"{content_hash(*(request.key for request in requests))}.npz"
        arrays = _read(path, 2 + len(names))
        if arrays is None:
            sounds = sounds or _sounds(clip, other, requests[0].key)
            arrays = [listener.hear(sound) for sound in sounds]
            with cache_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, *arrays)
        heard.append(ClipFeatures(arrays[0], arrays[1], dict(zip(names, arrays[2:], strict=True))))
    onsets, pitches = (np.array([getattr(n, name) for n in clip.bass_notes]) for name in ("start", "pitch"))
    late = {
        late_by(beats): same_notes(onsets, pitches, 2 * beats * half_beat(clip) / SAMPLE_RATE, clip.seconds)
        for beats in SHIFTS
    }
    return heard, About(tonic_of(clip.key), clip.tempo, np.array(clip.downbeats), late)


def misfits() -> dict[str, Anchor]:
    """Basses that do not fit, by name: functions of (clip, another song's clip, seed) to audio `(2, samples)`."""
    ways: dict[str, Anchor] = {}
    for semitones in SEMITONES:
        ways[f"transposed by {semitones:+d}"] = functools.partial(_transposed, semitones)
    for beats in SHIFTS:
        ways[late_by(beats)] = functools.partial(perturbations.late, beats=beats)
    ways["other section"] = _other_section
    ways["other song, same sound"] = lambda clip, other, seed: perturbations.style_clip(clip, other)
    ways["other song, mix leaks in"] = lambda clip, other, seed: _leaking(other_song(clip, other, seed), clip)
    ways["silence"] = lambda clip, other, seed: np.zeros_like(clip.bass)
    ways["noise"] = noise
    return ways


def changes() -> dict[str, Anchor]:
    """The clip's own bass, changed in ways that leave its notes alone, by name: as `misfits`."""
    ways = perturbations.graded_perturbations() | {
        "reverb": lambda clip, other, seed: _in_a_room(clip.bass, seed),
        "mix leaks in": lambda clip, other, seed: _leaking(clip.bass, clip),
    }
    return {name: ways[name] for name in CHANGES}


def late_by(beats: float) -> str:
    """The name of a delay."""
    return f"late by {beats:g} beats"


def same_notes(onsets: np.ndarray, pitches: np.ndarray, delay: float, seconds: float) -> float:
    """Share of a line's notes that the line, late by `delay` and going round after `seconds`, plays too.

    That is, at which it begins a note of the same pitch class within 50 ms. 0 for a line without notes.
    """
    if not len(onsets):
        return 0.0
    apart = (onsets[None] + delay - onsets[:, None] + seconds / 2) % seconds - seconds / 2
    same = (np.abs(apart) <= _ONSET_TOLERANCE) & ((pitches[None] - pitches[:, None]) % 12 == 0)
    return float(same.any(axis=1).mean())


def _sounds(clip: Clip, other: Clip, key: str) -> list[np.ndarray]:
    seed = int(content_hash(key)[:8], 16)
    ways: list[Callable[..., np.ndarray]] = [*misfits().values(), *changes().values()]
    return [clip.mix, clip.bass, *(way(clip, other, seed) for way in ways)]


def _transposed(semitones: int, clip: Clip, other: Clip, seed: int) -> np.ndarray:
    notes = tuple(Note(n.start, n.end, min(n.pitch + semitones, 127), n.velocity) for n in clip.bass_notes)
    return render_parts([bass_part(clip.bass_program, notes)], clip.seconds)


def _other_section(clip: Clip, other: Clip, seed: int) -> np.ndarray:
    """From the bar line nearest to half the clip on, then from the start."""
    half = clip.seconds / 2
    bars = np.diff(clip.downbeats) if len(clip.downbeats) > 1 else np.array([8 * half_beat(clip) / SAMPLE_RATE])
    bar = float(np.median(bars))
    return np.roll(clip.bass, -round(max(round(half / bar), 1) * bar * SAMPLE_RATE), axis=1)


def _leaking(bass: np.ndarray, clip: Clip) -> np.ndarray:
    """With the mix 12 dB below its own level, as through an open microphone."""
    return bass + np.float32(_LEAK) * clip.mix


def _in_a_room(audio: np.ndarray, seed: int) -> np.ndarray:
    """With noise that decays by 60 dB in 0.8 s as impulse response, as loud as the direct sound."""
    times = np.arange(round(0.8 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = np.random.default_rng(seed).standard_normal((2, len(times))) * 10 ** (-3 * times / 0.8)
    tail /= np.linalg.norm(tail, axis=1, keepdims=True)
    return (audio + fftconvolve(audio, tail, axes=1)[:, : audio.shape[1]]).astype(np.float32)


def _read(path: Path, count: int) -> list[np.ndarray] | None:
    """What the cache holds, None if it is missing or damaged (the zip format has checksums)."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            return [file[f"arr_{index}"] for index in range(count)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
