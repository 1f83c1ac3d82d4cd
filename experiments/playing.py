"""What the sampling studies share: the model plays for test mixes from the same noise, and each bass is heard once."""

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import Tensor

from bassbench.bad_input import BadInputError
from bassbench.baselines import CODEC, Anchor, derangement
from bassbench.baselines import VERSION as ANCHORS_VERSION
from bassbench.bootstrap import Interval, mean_interval
from bassbench.datasets import ClipRequest, cached_clip, clip_requests
from bassbench.embed import DEFAULT_EMBEDDER, EMBEDDERS, protocol
from bassbench.embedding_cache import embed_cached, embed_keyed
from bassbench.fad import FewWindowsWarning, fad, fad_difference
from bassbench.files import content_hash
from bassbench.gate import gate, rms
from bassbench.metrics.harmony import chord_tone_share
from bassbench.pitch import bass_pitch
from bassbench.render import CLIP_SAMPLES
from contrastive.encoder import Matcher
from contrastive.features import features
from contrastive.scoring import WEIGHTS, score_features
from experiments.match_proof import weights_hash as matcher_hash
from experiments.recall import Heard, keep, recall
from reference_model import studies
from reference_model.pipeline import BassAccompaniment, Sampling, level_gain

FAD, MATCH, CHORDS = "FAD", "match score", "chord-tone share"
LEVEL, CLIPPING, COLLAPSED = "level, dB", "clipping share", "collapsed share"
_REPLICATES = 200
_FAINTEST = 60.0  # dB: a silent clip has no level, and must not outweigh all others
_VERSION = "1"  # raise it when what the model plays for given weights, seed and sampling changes

NOTES = """
FAD: Fréchet distance to the real bass of other songs; lower is better; biased upwards at finite counts, alike for all,
so compare with "real bass". Match score: similarity of mix and bass by the contrastive matcher. Chord-tone share: of
the frames with a clear pitch, those on a tone of the sounding chord; 0 where there is no pitch. Level: against the real
bass, at most 60 dB apart. Clipping share: samples beyond full scale before the output is limited. Collapsed: what the
gate flags (silent, faint, loud, clipped, offset, stuck). Brackets: 95 % confidence interval, bootstrap over songs.
"""


def split_songs(clips: int, reference_clips: int) -> tuple[list[ClipRequest], list[ClipRequest]]:
    """Test clips to compare with and, of other songs, to play for.

    Raises:
        BadInputError: fewer than 4 of either, or more than there are songs.
    """
    if clips < 4 or reference_clips < 4:
        raise BadInputError("FAD with an interval over songs takes at least 4 in --clips and in --reference-clips")
    songs = clip_requests("test")
    if clips + reference_clips > len(songs):
        raise BadInputError(
            f"the test split has {len(songs)} songs, too few for {reference_clips} reference clips and {clips} others; "
            "lower --clips or --reference-clips"
        )
    return songs[:reference_clips], songs[reference_clips : reference_clips + clips]


@dataclass(frozen=True, kw_only=True)
class Playing:
    """Settings of every study in which the model plays for test clips and is judged."""

    clips: int = 24
    """Clips that the model plays for."""
    reference_clips: int = 96
    """Clips of real bass in FAD's reference."""
    embedder: Annotated[str, tyro.conf.arg(metavar="|".join(EMBEDDERS))] = DEFAULT_EMBEDDER
    """What FAD is computed on."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    matcher: Path = WEIGHTS
    """The matcher's weights."""
    batch_size: int = 8
    """Clips sampled at a time; where seconds are measured it changes them, nothing else."""
    seed: int = 0
    """Seed of the noise, the anchors, all pairing and the bootstrap."""

    def subjects(self) -> tuple[BassAccompaniment, Matcher, list[ClipRequest], list[ClipRequest]]:
        """The model, the matcher, the clips to compare with and those to play for.

        Raises:
            BadInputError: settings that cannot be used, or a folder for results that cannot be written.
        """
        if self.batch_size < 1 or self.seed < 0:
            raise BadInputError("--batch-size must be at least 1 and --seed at least 0")
        if self.embedder not in EMBEDDERS:
            raise BadInputError(f"no embedder '{self.embedder}'; choose from {', '.join(EMBEDDERS)}")
        reference, requests = split_songs(self.clips, self.reference_clips)
        matcher = Matcher.from_pretrained(self.matcher)
        studies.output_folder(self.output)
        return studies.load_model(self.weights, self.device), matcher, reference, requests


@dataclass(frozen=True)
class Judge:
    """Hears basses for the mixes of `requests`, and compares sets of them with the real bass of `reference`."""

    reference: tuple[ClipRequest, ...]
    requests: tuple[ClipRequest, ...]
    embedder: str
    matcher: Matcher
    device: str
    seed: int
    second_embedders: tuple[str, ...] = ()
    """Their embeddings of keyed audio are left in the cache too, while the audio is at hand."""

    @property
    def protocol(self) -> dict[str, Any]:
        """How everything is measured."""
        return {
            "FAD": protocol(self.embedder),
            "reference": f"{len(self.reference)} clips of real bass, {_digest(self.reference)}",
            "evaluated": f"{len(self.requests)} clips of other songs, {_digest(self.requests)}",
            "matcher": matcher_hash(self.matcher),
            "pitch": "YIN at 4 kHz, 20 ms frames; without a pitch the chord-tone share is 0",
            "interval": f"95 %, bootstrap over songs, FAD over those of both sets with {_REPLICATES} replicates",
        }

    def hear(self, index: int, audio: np.ndarray, *, key: str | None = None) -> Heard:
        """The bass `(2, samples)` for the mix of clip `index`; `key` is a hash of all that it depends on."""
        clip = cached_clip(self.requests[index])
        found = gate(audio, reference=clip.bass)
        sound = audio if np.isfinite(audio).all() else np.zeros_like(audio)
        mix = self._mixes.get(index)
        if mix is None:
            mix = self._mixes[index] = features(clip.mix, self.matcher.config.features)
        for embedder in self.second_embedders if key is not None else ():
            embed_keyed(str(key), lambda: sound, embedder, device=self.device)
        bass = features(sound, self.matcher.config.features)
        share = chord_tone_share(bass_pitch(sound), clip.chords)
        return Heard(
            embedding=self.embedding(key, lambda: sound),
            match=float(score_features([mix], [bass], self.matcher)[0, 0]),
            chords=float(np.nan_to_num(share)),
            level=float(np.clip(np.round(np.nan_to_num(found.relative_db, nan=-_FAINTEST), 2), -_FAINTEST, _FAINTEST)),
            clipping=float(np.nan_to_num(found.clipping_share, nan=1.0)),
            collapsed=float(not found.passed),
        )

    def embedding(self, key: str | None, audio: Callable[[], np.ndarray]) -> np.ndarray:
        """Embeddings `(windows, dim)` of a bass; with a key it is only made if they are not at hand."""
        if key is None:
            return embed_cached(audio(), self.embedder, device=self.device)
        return embed_keyed(key, audio, self.embedder, device=self.device)

    def scores(self, heard: Sequence[Heard]) -> dict[str, Interval]:
        """FAD of the set, and the means over its clips, by metric."""
        fields = {MATCH: "match", CHORDS: "chords", LEVEL: "level", CLIPPING: "clipping", COLLAPSED: "collapsed"}
        means = {metric: self.mean([getattr(one, field) for one in heard]) for metric, field in fields.items()}
        return {FAD: self.fad([one.embedding for one in heard]), **means}

    def fad(self, embeddings: Sequence[np.ndarray]) -> Interval:
        """FAD of a set of basses, each `(windows, dim)`."""
        with _few_windows():
            found = fad(self._real, embeddings, generator=self._generator(), replicates=_REPLICATES)
        return Interval(found.value, found.low, found.high)

    def memory(self, index: int, key: str) -> str:
        """Hash of all that is heard in the bass `key` for clip `index`."""
        how = json.dumps([self.embedder, protocol(self.embedder), matcher_hash(self.matcher)], sort_keys=True)
        return content_hash(how, key, self.requests[index].key)

    def fad_difference(self, first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Interval:
        """FAD of the first set minus that of the second, song by song from the same noise."""
        with _few_windows():
            found = fad_difference(self._real, first, second, generator=self._generator(), replicates=_REPLICATES)
        return Interval(found.value, found.low, found.high)

    def mean(self, values: Sequence[float] | np.ndarray) -> Interval:
        """Mean over clips with its interval."""
        return mean_interval(values, generator=self._generator())

    def hear_anchor(
        self, name: str, anchor: Anchor, advance: studies.Advance, *, codec: Mapping[str, str]
    ) -> list[Heard]:
        """The anchor's bass for each clip; `codec` says which autoencoder the codec's anchor goes through."""
        heard = []
        for index in range(len(self.requests)):
            key = self._anchor_key(index, name, codec)
            found = recall(self.memory(index, key)) or self.hear(index, self._anchor(index, anchor), key=key)
            keep(self.memory(index, key), found)
            heard.append(found)
            advance()
        return heard

    def embed_anchor(self, name: str, anchor: Anchor, *, codec: Mapping[str, str]) -> list[np.ndarray]:
        """The embeddings `(windows, dim)` of an anchor's basses."""
        keys = [self._anchor_key(index, name, codec) for index in range(len(self.requests))]
        return [
            self.embedding(key, lambda index=index: self._anchor(index, anchor))  # type: ignore[misc]
            for index, key in enumerate(keys)
        ]

    def _anchor(self, index: int, anchor: Anchor) -> np.ndarray:
        clip, other = cached_clip(self.requests[index]), cached_clip(self.requests[self._partner[index]])
        return anchor(clip, other, studies.clip_seed(self.seed, index))

    def _anchor_key(self, index: int, name: str, codec: Mapping[str, str]) -> str:
        of = json.dumps([ANCHORS_VERSION, name, dict(codec) if name == CODEC else {}, self.seed, index])
        return content_hash(of, self.requests[index].key, self.requests[self._partner[index]].key)

    @cached_property
    def _partner(self) -> np.ndarray:
        return derangement(len(self.requests), generator=self._generator())

    @cached_property
    def _mixes(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _real(self) -> list[np.ndarray]:
        return [self.embedding(None, lambda r=r: cached_clip(r).bass) for r in self.reference]  # type: ignore[misc]

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Player:
    """The model playing for the mixes of `requests`; the noise of a clip is the same whatever the setting."""

    model: BassAccompaniment
    requests: tuple[ClipRequest, ...]
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.seed < 0:
            raise BadInputError("--batch-size must be at least 1 and --seed at least 0")

    @property
    def samples(self) -> int:
        """Length of a clip."""
        return self.requests[0].samples or CLIP_SAMPLES

    @cached_property
    def weights(self) -> str:
        """Hash of the model's weights."""
        return studies.weights_hash(self.model)

    def key(self, index: int, sampling: Sampling, style: str = "") -> str:
        """Hash of everything that the bass for clip `index` depends on."""
        how = [_VERSION, self.weights, studies.clip_seed(self.seed, index), asdict(sampling), style]
        return content_hash(json.dumps([*how, self.model.bfloat16, self.model.device.type]), self.requests[index].key)

    def latents(self, indices: Sequence[int], sampling: Sampling, styles: Tensor | None = None) -> Tensor:
        """Bass latents `(indices, dims, frames)`; `styles` `(clips, dims)` are style means of all clips."""
        chosen = list(indices)
        return self.model.generate_latents(
            self._mixes[0][chosen],
            seeds=[studies.clip_seed(self.seed, index) for index in chosen],
            style_mean=None if styles is None else styles[chosen],
            sampling=sampling,
        )

    def decode(self, indices: Sequence[int], latents: Tensor) -> np.ndarray:
        """Basses `(indices, 2, samples)` as loud as their mixes ask for, not limited to full scale."""
        return self.model.decode(latents, self.samples) / self._mixes[1][list(indices)]

    def basses(
        self, sampling: Sampling, styles: Tensor | None = None, *, of: Sequence[int] | None = None
    ) -> Iterator[np.ndarray]:
        """The bass `(2, samples)` for each clip (or those whose indices are `of`), in order, a batch at a time."""
        chosen = range(len(self.requests)) if of is None else of
        for places in studies.in_batches(len(chosen), self.batch_size):
            batch = [chosen[place] for place in places]
            began = time.perf_counter()
            latents = self.latents(batch, sampling, styles).cpu()  # waits for the device
            self._clock.setdefault(sampling, []).append((time.perf_counter() - began, len(batch)))
            yield from self.decode(batch, latents.to(self.model.device))

    def seconds_a_clip(self, sampling: Sampling) -> float:
        """Time that sampling took for each clip that was played so far; where none was, a batch is played for it."""
        if sampling not in self._clock:
            first = range(min(self.batch_size, len(self.requests)))
            self.latents(first, Sampling(steps=1, cfg=sampling.cfg))  # what is done once is not the sampler's
            next(self.basses(sampling, of=first))
        seconds, clips = (sum(part) for part in zip(*self._clock[sampling], strict=True))
        return seconds / clips

    @cached_property
    def _clock(self) -> dict[Sampling, list[tuple[float, int]]]:
        return {}

    def bass(self, index: int, sampling: Sampling) -> np.ndarray:
        """The bass `(2, samples)` for one clip."""
        return self.decode([index], self.latents([index], sampling))[0]

    @cached_property
    def _mixes(self) -> tuple[Tensor, np.ndarray]:
        """Latents `(clips, mix_dims, frames)` and gains `(clips, 1, 1)` of the mixes."""
        latents, gains = [], []
        for request in self.requests:
            mix = cached_clip(request).mix[None]
            gains.append(level_gain(np.full((1, 1, 1), rms(mix))))
            latents.append(self.model.encode_mix(mix, gains[-1]).cpu())
        return torch.cat(latents), np.concatenate(gains)


def play_and_hear(player: Player, judge: Judge, sampling: Sampling, advance: studies.Advance) -> list[Heard]:
    """The bass for each clip, heard; those that any study has heard before are not played again."""
    keys = [player.key(index, sampling) for index in range(len(player.requests))]
    memories = [judge.memory(index, key) for index, key in enumerate(keys)]
    heard = {index: found for index, memory in enumerate(memories) if (found := recall(memory)) is not None}
    for _ in heard:
        advance()
    missing = [index for index in range(len(keys)) if index not in heard]
    for index, audio in zip(missing, player.basses(sampling, of=missing), strict=True):
        heard[index] = judge.hear(index, audio, key=keys[index])
        keep(memories[index], heard[index])
        advance()
    return [heard[index] for index in range(len(keys))]


def _digest(requests: Iterable[ClipRequest]) -> str:
    return content_hash(*(request.key for request in requests))[:8]


@contextmanager
def _few_windows() -> Iterator[None]:
    with warnings.catch_warnings():
        # Small runs are for trying out; all rows are measured at equal counts, as the warning advises.
        warnings.simplefilter("ignore", FewWindowsWarning)
        yield
