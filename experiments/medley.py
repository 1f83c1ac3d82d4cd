"""Long mixes with known chords: songs of the bank one after the other, and what is heard in a bass for them.

Songs are joined as latents, a whole number of frames each, so that a seam is where one song stops and the next begins,
as on a record of many songs. Medley r begins with song r and goes on with the songs that follow, in a circle: over all
medleys every place in time holds every song equally often, and what differs between places is the place alone.

What was heard in what a U-Net plays for a whole medley is kept in the user's cache: no bass is played twice.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bassbench.cache import cache_folder, content_hash
from bassbench.files import atomic_path, parse_json
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.harmony import chord_tone_share
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import CLIP_SAMPLES
from bassbench.songs.song_bank import Chord
from contrastive.encoder import Matcher
from contrastive.features import features
from contrastive.scoring import score_features
from experiments import studies
from experiments.studies import matcher_hash
from reference_model.pipeline import BassAccompaniment, EncodedMix, Sampling
from reference_model.presets import R_TIME, SAMPLE_RATE

_FRAME = R_TIME / SAMPLE_RATE
_VERSION = "2"  # raise it when what is played or heard changes
_SHORTEST_WINDOW = 256


@dataclass(frozen=True)
class Passage:
    """What is heard in one passage of a bass: its song, its first frame in the medley, and the scores."""

    song: int
    start: int
    chords: float
    match: float


@dataclass(frozen=True)
class Medleys:
    """Medleys of the songs of `requests`, heard in passages of `passage` latent frames."""

    model: BassAccompaniment
    requests: tuple[ClipRequest, ...]
    matcher: Matcher
    passage: int

    @property
    def song_frames(self) -> int:
        """Latent frames of a song; the songs are equally long."""
        return (self.requests[0].samples or CLIP_SAMPLES) // R_TIME

    def starts(self, frames: int) -> list[int]:
        """First frames, in the circle of all songs, of the medleys of a length: together they hold all songs alike."""
        stride = min(frames, self.song_frames)
        return list(range(0, len(self.requests) * self.song_frames, stride))

    def mixes(self, starts: Sequence[int], frames: int) -> EncodedMix:
        """The medleys from these frames of the circle on, all at the level of training."""
        circle = torch.cat(self._mixes, dim=1)
        latents = [circle[:, torch.arange(start, start + frames) % circle.shape[1]] for start in starts]
        return EncodedMix(torch.stack(latents), np.ones((len(starts), 1, 1), np.float32), frames * R_TIME)

    def hear(self, start: int, bass: np.ndarray) -> list[Passage]:
        """The bass `(2, samples)` of the medley from a frame of the circle on, passage by passage."""
        length, heard = self.passage * R_TIME, []
        for at in range(0, bass.shape[1] // length):
            first = start + at * self.passage
            song, offset = divmod(first % (len(self.requests) * self.song_frames), self.song_frames)
            heard.append(self._passage(song, offset, at * self.passage, bass[:, at * length : (at + 1) * length]))
        return heard

    def hear_real(self, partner: Sequence[int]) -> list[Passage]:
        """The real bass of song `partner[i]` for each passage of each song i."""
        heard = []
        for song, other in enumerate(partner):
            bass = cached_clip(self.requests[other]).bass
            for offset in range(0, self.song_frames, self.passage):
                piece = bass[:, offset * R_TIME : (offset + self.passage) * R_TIME]
                heard.append(self._passage(song, offset, offset, piece))
        return heard

    def _passage(self, song: int, offset: int, start: int, bass: np.ndarray) -> Passage:
        bass = np.where(np.isfinite(bass), bass, np.float32(0))
        chords = within(cached_clip(self.requests[song]).chords, offset * _FRAME, (offset + self.passage) * _FRAME)
        share = chord_tone_share(bass_pitch(bass), chords) if chords else 0.0
        of_mix, of_bass = self._mix_features(song, offset), features(bass, self.matcher.config.features)
        match = float(score_features([of_mix], [of_bass], self.matcher)[0, 0])
        return Passage(song, start, float(np.nan_to_num(share)), match)

    def _mix_features(self, song: int, offset: int) -> np.ndarray:
        if (song, offset) not in self._features:
            mix = cached_clip(self.requests[song]).mix
            piece = mix[:, offset * R_TIME : (offset + self.passage) * R_TIME]
            self._features[song, offset] = features(piece, self.matcher.config.features)
        return self._features[song, offset]

    @cached_property
    def _features(self) -> dict[tuple[int, int], np.ndarray]:
        return {}

    @cached_property
    def _mixes(self) -> list[Tensor]:
        """Latents of the songs' mixes, `(mix_dims, song_frames)` each."""
        return [self.model.encode_mix(cached_clip(request).mix[None]).latent[0].cpu() for request in self.requests]


def within(chords: Sequence[Chord], start: float, end: float) -> list[Chord]:
    """The chords that sound between two times in seconds, cut to them and counted from the first."""
    return [
        replace(chord, start=max(chord.start, start) - start, end=min(chord.end, end) - start)
        for chord in chords
        if chord.end > start and chord.start < end
    ]


@dataclass(frozen=True)
class MedleyPlayer:
    """The model that `load` gives, known by its `setting`, playing for medleys; the noise of a medley is its own."""

    medleys: Medleys
    load: Callable[[], BassAccompaniment]
    setting: dict[str, Any]
    sampling: Sampling
    seed: int
    batch_frames: int
    """Latent frames sampled at a time."""

    @cached_property
    def model(self) -> BassAccompaniment:
        """The model, loaded or trained when first needed."""
        return self.load()

    def heard(self, system: str, frames: int, advance: Callable[[], object] = lambda: None) -> list[Passage]:
        """The passages of all medleys of a length."""
        starts = self.medleys.starts(frames)
        files = [self._file(system, start, frames) for start in starts]
        found = {index: known for index, file in enumerate(files) if (known := _read(file)) is not None}
        missing = [index for index in range(len(starts)) if index not in found]
        for places in studies.in_batches(len(missing), max(1, self.batch_frames // frames)):
            batch = [missing[place] for place in places]
            for index, bass in zip(batch, self._play([starts[i] for i in batch], batch, frames), strict=True):
                found[index] = self.medleys.hear(starts[index], bass)
                _keep(files[index], found[index])
                advance()
        return [passage for index in range(len(starts)) for passage in found[index]]

    def _play(self, starts: Sequence[int], indices: Sequence[int], frames: int) -> Iterator[np.ndarray]:
        mixes = self.medleys.mixes(starts, frames)
        latents = self.model.generate_latents(
            mixes.latent,
            seeds=[studies.clip_seed(self.seed, index) for index in indices],
            sampling=self._whole(frames),
        )
        for place in range(len(starts)):  # one at a time: minutes of audio
            yield self.model.decode(latents[[place]], mixes[[place]]).audio[0]

    def _whole(self, frames: int) -> Sampling:
        """The sampling, but that the U-Net sees a medley of this length at once."""
        return replace(self.sampling, window=max(frames, _SHORTEST_WINDOW))

    def _file(self, system: str, start: int, frames: int) -> Path:
        how = [_VERSION, system, self.setting, asdict(self._whole(frames)), start, frames, self.seed]
        songs = [request.key for request in self.medleys.requests]
        about = json.dumps([*how, self.medleys.passage, matcher_hash(self.medleys.matcher)])
        return cache_folder("passages") / f"{content_hash(about, *songs)}.json"


def _read(path: Path) -> list[Passage] | None:
    try:
        return [Passage(**values) for values in parse_json(path.read_text())]
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, heard: Sequence[Passage]) -> None:
    with contextlib.suppress(OSError), atomic_path(path) as temporary:
        temporary.write_text(json.dumps([asdict(passage) for passage in heard]))
