"""Simple systems to be better than: chord roots, the bass of the most similar song, the bass of any song.

Each is an `Accompanist`. What they know is the mix alone; the ground truth of a clip is never shown to a system.
"""

import functools
from collections.abc import Sequence

import librosa
import numpy as np

from bassbench.audio import SAMPLE_RATE, loudness, loudness_normalise
from bassbench.errors import BadInputError
from bassbench.hearing.onsets import onset_envelope
from bassbench.songs.arrangement import Note, bass_part
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.songs.soundfont import render_parts

_RATE, _HOP = 22_050, 512
_POOLED = 4  # frames of 5.8 ms: trackers are tuned for about 23
_BELOW_MIX = -2.0  # LU, the middle of the song bank's range
_LOWEST = 28  # E1
_FINGERED_BASS = 33
# Of a few pairs of these, the best on ten validation songs: the right root on 72 % of beats (77 % of twelve songs'
# since the beats are heard on time).
_SHARPNESS, _STAY = 30.0, 0.5


class RootNotes:
    """Plays the root of the estimated chord on every estimated beat.

    Chords: the 24 major and minor triads as templates of the mix's chroma at each beat, smoothed by Viterbi decoding
    (Bello and Pickens 2005, with librosa's chroma, beats and decoder).
    """

    name = "root notes"
    sample_rate = SAMPLE_RATE
    version = 2  # raise it when what it plays changes

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes of that shape; deterministic."""
        return np.stack([self._play(clip) for clip in mix])

    def _play(self, mix: np.ndarray) -> np.ndarray:
        seconds = mix.shape[1] / SAMPLE_RATE
        beats, roots = estimated_roots(mix)
        if not len(beats):
            return np.zeros_like(mix)
        ends = [*beats[1:], seconds]
        notes = tuple(
            Note(float(start), float(start + 0.9 * (end - start)), _LOWEST + (root - _LOWEST) % 12)
            for start, end, root in zip(beats, ends, roots, strict=True)
        )
        return _beside(mix, render_parts([bass_part(_FINGERED_BASS, notes)], seconds))


class NearestNeighbour:
    """Gives the bass of the training song whose harmony over time is most like the mix's.

    Similarity is the cosine between chroma of every second, over what both have in common.
    """

    name = "nearest neighbour"
    sample_rate = SAMPLE_RATE
    version = 2  # raise it when what it plays changes

    def __init__(self, songs: int = 64) -> None:
        if songs < 1:
            raise BadInputError(f"nearest neighbour: songs must be at least 1, got {songs}")
        self.songs = songs

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes of that shape; deterministic."""
        return np.stack([_beside(clip, cached_clip(self._nearest(clip)).bass) for clip in mix])

    def _nearest(self, mix: np.ndarray) -> ClipRequest:
        requests, index = _index(self.songs)
        wanted = chroma_by_second(mix)
        length = min(wanted.shape[1], *(known.shape[1] for known in index))
        rows = np.stack([known[:, :length].ravel() for known in index])
        query = wanted[:, :length].ravel()
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        return requests[int(np.argmax(rows @ query / np.maximum(norms, 1e-9)))]


class OtherSong:
    """Gives the bass of a training song that the seed alone decides on: it does not listen."""

    name = "other song's bass"
    sample_rate = SAMPLE_RATE
    version = 2  # raise it when what it plays changes

    def __init__(self, songs: int = 64) -> None:
        if songs < 1:
            raise BadInputError(f"other song's bass: songs must be at least 1, got {songs}")
        self.songs = songs

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes of that shape; a function of each clip's seed."""
        requests = clip_requests("train", self.songs)
        drawn = [requests[int(np.random.default_rng(seed).integers(len(requests)))] for seed in seeds]
        basses = [cached_clip(request).bass for request in drawn]
        return np.stack([_beside(clip, bass) for clip, bass in zip(mix, basses, strict=True)])


def estimated_roots(mix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beats in seconds `(beats,)` and the pitch class of the chord root at each, estimated from `(2, samples)`."""
    if not np.any(mix):
        return np.zeros(0), np.zeros(0, int)
    beats = estimated_beats(mix)
    if len(beats) < 2:  # no pulse found: twice a second
        beats = np.arange(0, mix.shape[1] / SAMPLE_RATE, 0.5)
    chroma = librosa.feature.chroma_stft(y=_mono(mix), sr=_RATE, hop_length=_HOP, n_fft=8192, tuning=0.0)
    frames = librosa.time_to_frames(beats, sr=_RATE, hop_length=_HOP)
    by_beat = np.stack([part.mean(axis=1) for part in np.split(chroma, frames[1:], axis=1)], axis=1)
    by_beat /= np.maximum(np.linalg.norm(by_beat, axis=0), 1e-9)
    likelihood = np.exp(_SHARPNESS * _templates() @ by_beat)
    chords = librosa.sequence.viterbi_discriminative(
        likelihood / likelihood.sum(axis=0), librosa.sequence.transition_loop(24, _STAY)
    )
    return beats, chords % 12


def estimated_beats(mix: np.ndarray) -> np.ndarray:
    """Beats of a mix `(2, samples)` in seconds, ascending (Ellis 2007, librosa's tracker); few or none without pulse.

    The tracker hears the suite's own onset strength, whose times are those of the notes. From audio it makes one of
    its own, in which music is 40 ms late: it is moved by half a window, though levels in dB rise when the window's
    edge, not its middle, meets a note.
    """
    envelope = onset_envelope(mix)
    whole = len(envelope.times) // _POOLED * _POOLED
    times = envelope.times[:whole].reshape(-1, _POOLED).mean(axis=1)
    strength = envelope.strength[:whole].reshape(-1, _POOLED).mean(axis=1)
    if not np.any(strength):
        return np.zeros(0)
    rate = 1 / (times[1] - times[0])
    _, frames = librosa.beat.beat_track(onset_envelope=strength, sr=rate, hop_length=1, trim=False)
    return times[frames][times[frames] < mix.shape[1] / SAMPLE_RATE]


def chroma_by_second(audio: np.ndarray) -> np.ndarray:
    """Mean chroma of each second of `(2, samples)`, `(12, seconds)`."""
    chroma = librosa.feature.chroma_stft(y=_mono(audio), sr=_RATE, hop_length=_HOP, n_fft=8192, tuning=0.0)
    step = round(_RATE / _HOP)
    count = max(chroma.shape[1] // step, 1)
    return np.stack([chroma[:, i * step : (i + 1) * step].mean(axis=1) for i in range(count)], axis=1)


@functools.lru_cache(maxsize=2)
def _index(songs: int) -> tuple[list[ClipRequest], list[np.ndarray]]:
    requests = clip_requests("train", songs)
    return requests, [chroma_by_second(cached_clip(request).mix) for request in requests]


def _templates() -> np.ndarray:
    """Major then minor triads by root, `(24, 12)`, of unit length."""
    triads = [[(root + step) % 12 for step in shape] for shape in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
    return np.stack([np.isin(np.arange(12), triad) for triad in triads]) / np.sqrt(3)


def _mono(audio: np.ndarray) -> np.ndarray:
    return librosa.resample(audio.mean(axis=0), orig_sr=SAMPLE_RATE, target_sr=_RATE, res_type="soxr_hq")


def _beside(mix: np.ndarray, bass: np.ndarray) -> np.ndarray:
    """A bass of the mix's length, repeated if it is shorter, 2 LU quieter than it, its peak within full scale."""
    bass = np.tile(bass, -(-mix.shape[1] // bass.shape[1]))[:, : mix.shape[1]]
    level = loudness(mix)
    bass = loudness_normalise(bass, level + _BELOW_MIX) if np.isfinite(level) else np.zeros_like(mix)
    peak = float(np.abs(bass).max(initial=0.0))
    return bass if peak < 0.999 else bass * np.float32(0.999 / peak)


BASELINES = {"root-notes": RootNotes, "nearest-neighbour": NearestNeighbour, "other-song": OtherSong}
