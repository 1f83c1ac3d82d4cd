"""What the sampling studies share: the model plays for test mixes from the same noise, and each bass is heard once."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bassbench.bad_input import BadInputError
from bassbench.baselines import Anchor, derangement
from bassbench.bootstrap import Interval, mean_interval
from bassbench.datasets import ClipRequest, cached_clip, clip_requests
from bassbench.embed import protocol
from bassbench.embedding_cache import embed_cached, embed_keyed
from bassbench.fad import FewWindowsWarning, fad, fad_difference
from bassbench.files import content_hash
from bassbench.gate import gate, rms
from bassbench.metrics.harmony import chord_tone_share
from bassbench.pitch import bass_pitch
from bassbench.render import CLIP_SAMPLES
from contrastive.encoder import Matcher
from contrastive.features import features
from contrastive.scoring import score_features
from experiments.match_proof import weights_hash as matcher_hash
from reference_model import studies
from reference_model.pipeline import BassAccompaniment, Sampling, level_gain

FAD, MATCH, CHORDS = "FAD", "match score", "chord-tone share"
LEVEL, CLIPPING, COLLAPSED = "level, dB", "clipping share", "collapsed share"
_REPLICATES = 400
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


@dataclass(frozen=True)
class Heard:
    """What is kept of one bass: embeddings `(windows, dim)` and the scores of the clip."""

    embedding: np.ndarray
    match: float
    chords: float
    level: float
    clipping: float
    collapsed: float


@dataclass(frozen=True)
class Judge:
    """Hears basses for the mixes of `requests`, and compares sets of them with the real bass of `reference`."""

    reference: tuple[ClipRequest, ...]
    requests: tuple[ClipRequest, ...]
    embedder: str
    matcher: Matcher
    device: str
    seed: int

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
        with _few_windows():
            distance = fad(
                self._real, [one.embedding for one in heard], generator=self._generator(), replicates=_REPLICATES
            )
        return {FAD: Interval(distance.value, distance.low, distance.high), **means}

    def fad_difference(self, first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Interval:
        """FAD of the first set minus that of the second, song by song from the same noise."""
        with _few_windows():
            found = fad_difference(self._real, first, second, generator=self._generator(), replicates=_REPLICATES)
        return Interval(found.value, found.low, found.high)

    def mean(self, values: Sequence[float] | np.ndarray) -> Interval:
        """Mean over clips with its interval."""
        return mean_interval(values, generator=self._generator())

    def hear_anchor(self, anchor: Anchor, advance: studies.Advance) -> list[Heard]:
        """The anchor's bass for each clip."""
        partner = derangement(len(self.requests), generator=self._generator())
        heard = []
        for index, request in enumerate(self.requests):
            other = cached_clip(self.requests[partner[index]])
            audio = anchor(cached_clip(request), other, studies.clip_seed(self.seed, index))
            heard.append(self.hear(index, audio))
            advance()
        return heard

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

    def basses(self, sampling: Sampling, styles: Tensor | None = None) -> Iterator[np.ndarray]:
        """The bass `(2, samples)` for each clip in order, a batch at a time."""
        for batch in studies.in_batches(len(self.requests), self.batch_size):
            yield from self.decode(batch, self.latents(batch, sampling, styles))

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


def play_and_hear(
    player: Player, judge: Judge, sampling: Sampling, advance: studies.Advance, *, styles: Tensor | None = None
) -> list[Heard]:
    """The bass for each clip, heard."""
    style = "" if styles is None else content_hash(styles.cpu().numpy().tobytes())
    heard = []
    for index, audio in enumerate(player.basses(sampling, styles)):
        heard.append(judge.hear(index, audio, key=player.key(index, sampling, style)))
        advance()
    return heard


def _digest(requests: Iterable[ClipRequest]) -> str:
    return content_hash(*(request.key for request in requests))[:8]


@contextmanager
def _few_windows() -> Iterator[None]:
    with warnings.catch_warnings():
        # Small runs are for trying out; all rows are measured at equal counts, as the warning advises.
        warnings.simplefilter("ignore", FewWindowsWarning)
        yield
