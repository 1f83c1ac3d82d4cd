"""What the sampling studies share: the model plays for test mixes from the same noise, and each bass is heard once."""

import contextlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from bassbench.cache import cache_folder, content_hash
from bassbench.embedders.cache import embed_cached, embed_keyed
from bassbench.embedders.registry import DEFAULT_EMBEDDER, EMBEDDERS, protocol
from bassbench.errors import BadInputError, unknown_name
from bassbench.files import atomic_path, parse_json
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.fad import FewWindowsWarning, fad, fad_difference
from bassbench.metrics.gate import clipping_share, gate
from bassbench.metrics.harmony import chord_tone_share
from bassbench.metrics.metric import Scored
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.suite.anchors import CODEC, Anchor, anchors, derangement
from bassbench.suite.anchors import VERSION as ANCHORS_VERSION
from contrastive.encoder import Matcher
from contrastive.features import features
from contrastive.scoring import WEIGHTS, score_features
from experiments import studies
from experiments.player import Player
from experiments.studies import BatchSettings, matcher_hash
from reference_model.pipeline import BassAccompaniment, Sampling

_VERSION = "1"  # raise it when what is heard of the same audio changes


@dataclass(frozen=True)
class ClipScores:
    """What is kept of one bass: embeddings `(windows, dim)` and the scores of the clip."""

    embedding: np.ndarray
    match: float
    chords: float
    level: float
    clipping: float
    collapsed: float


def cached_scores(key: str) -> ClipScores | None:
    """What was kept under a key; None if nothing was, or the entry is damaged."""
    path = cache_folder("heard") / f"{content_hash(_VERSION, key)}.npz"
    try:
        with path.open("rb") as file, np.load(file) as entry:
            embedding, scores, digest = entry["embedding"], str(entry["scores"]), str(entry["digest"])
        if content_hash(embedding.tobytes(), scores) != digest:
            return None
        return ClipScores(embedding=embedding, **parse_json(scores))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def cache_scores(key: str, heard: ClipScores) -> None:
    """Keep what was heard under a hash of all that it depends on; where the cache cannot be written it is lost."""
    values = asdict(heard)
    embedding, scores = values.pop("embedding"), json.dumps(values)
    path = cache_folder("heard") / f"{content_hash(_VERSION, key)}.npz"
    with contextlib.suppress(OSError), atomic_path(path) as temporary:
        digest = content_hash(embedding.tobytes(), scores)
        np.savez(temporary, embedding=embedding, scores=scores, digest=digest)


FAD, MATCH, CHORDS = "FAD", "match score", "chord-tone share"
LEVEL, CLIPPING, COLLAPSED = "level, dB", "clipping share", "collapsed share"
_REPLICATES = 200
_FAINTEST = 60.0  # dB: a silent clip has no level, and must not outweigh all others

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
class Evaluator:
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
            "reference": f"{len(self.reference)} clips of real bass, {studies.clips_hash(self.reference)}",
            "evaluated": f"{len(self.requests)} clips of other songs, {studies.clips_hash(self.requests)}",
            "matcher": matcher_hash(self.matcher),
            "pitch": "YIN at 4 kHz, 20 ms frames; without a pitch the chord-tone share is 0",
            "interval": f"95 %, bootstrap over songs, FAD over those of both sets with {_REPLICATES} replicates",
        }

    def hear(self, index: int, audio: np.ndarray, *, key: str | None = None, excess: float = 1.0) -> ClipScores:
        """The bass `(2, samples)` for the mix of clip `index`; `key` is a hash of all that it depends on.

        `excess`: by what factor it was turned down to stay within full scale. The clipping share is of the bass before.
        """
        clip = cached_clip(self.requests[index])
        found = gate(audio, reference=clip.bass)
        sound = audio if np.isfinite(audio).all() else np.zeros_like(audio)
        mix = self._mixes.get(index)
        if mix is None:
            mix = self._mixes[index] = features(clip.mix, self.matcher.config.features)
        for embedder in self.second_embedders if key is not None else ():
            embed_keyed(key, lambda: sound, embedder, device=self.device)
        bass = features(sound, self.matcher.config.features)
        share = chord_tone_share(bass_pitch(sound), clip.chords)
        return ClipScores(
            embedding=self.embedding(key, lambda: sound),
            match=float(score_features([mix], [bass], self.matcher)[0, 0]),
            chords=float(np.nan_to_num(share)),
            level=float(np.clip(np.round(np.nan_to_num(found.relative_db, nan=-_FAINTEST), 2), -_FAINTEST, _FAINTEST)),
            clipping=float(
                np.nan_to_num(found.clipping_share if excess == 1 else clipping_share(audio * excess), nan=1.0)
            ),
            collapsed=float(not found.passed),
        )

    def embedding(self, key: str | None, audio: Callable[[], np.ndarray]) -> np.ndarray:
        """Embeddings `(windows, dim)` of a bass; with a key it is only made if they are not at hand."""
        return embed_keyed(key, audio, self.embedder, device=self.device)

    def scores(self, heard: Sequence[ClipScores]) -> dict[str, Interval]:
        """FAD of the set, and the means over its clips, by metric."""
        fields = {MATCH: "match", CHORDS: "chords", LEVEL: "level", CLIPPING: "clipping", COLLAPSED: "collapsed"}
        means = {metric: self.mean([getattr(one, field) for one in heard]) for metric, field in fields.items()}
        return {FAD: self.fad([one.embedding for one in heard]), **means}

    def fad(self, embeddings: Sequence[np.ndarray]) -> Interval:
        """FAD of a set of basses, each `(windows, dim)`."""
        with _few_windows():
            found = fad(self._real, embeddings, generator=self._generator(), replicates=_REPLICATES)
        return Interval(found.value, found.low, found.high)

    def cache_key(self, index: int, key: str) -> str:
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
    ) -> list[ClipScores]:
        """The anchor's bass for each clip; `codec` says which autoencoder the codec's anchor goes through."""
        heard = []
        for index in range(len(self.requests)):
            key = self._anchor_key(index, name, codec)
            found = cached_scores(self.cache_key(index, key)) or self.hear(index, self._anchor(index, anchor), key=key)
            cache_scores(self.cache_key(index, key), found)
            heard.append(found)
            advance()
        return heard

    def embed_anchor(self, name: str, anchor: Anchor, *, codec: Mapping[str, str]) -> list[np.ndarray]:
        """The embeddings `(windows, dim)` of an anchor's basses."""
        keys = [self._anchor_key(index, name, codec) for index in range(len(self.requests))]
        return [self.embedding(key, partial(self._anchor, index, anchor)) for index, key in enumerate(keys)]

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
        return [embed_cached(cached_clip(one).bass, self.embedder, device=self.device) for one in self.reference]

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True, kw_only=True)
class Playing(BatchSettings):
    """Settings of every study in which the model plays for test clips and is judged."""

    clips: int = 24
    """Clips that the model plays for."""
    reference_clips: int = 96
    """Clips of real bass in FAD's reference."""
    embedder: Annotated[str, tyro.conf.arg(metavar="|".join(EMBEDDERS))] = DEFAULT_EMBEDDER
    """What FAD is computed on."""
    matcher: Path = WEIGHTS
    """The matcher's weights."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if self.embedder not in EMBEDDERS:
            raise unknown_name("embedder", self.embedder, EMBEDDERS)

    def evaluator_and_player(self) -> tuple[Evaluator, Player]:
        """What scores the basses of the clips, and what plays them.

        Raises:
            BadInputError: too many or too few clips, unknown weights, or a folder for results that cannot be written.
        """
        reference, requests = (tuple(songs) for songs in split_songs(self.clips, self.reference_clips))
        matcher = Matcher.from_pretrained(self.matcher)
        player = Player(self.model(), requests, self.seed, self.batch_size)
        return Evaluator(reference, requests, self.embedder, matcher, str(player.model.device), self.seed), player


def play_and_hear(
    player: Player, evaluator: Evaluator, sampling: Sampling, advance: studies.Advance
) -> list[ClipScores]:
    """The bass for each clip, heard; those that any study has heard before are not played again."""
    keys = [player.key(index, sampling) for index in range(len(player.requests))]
    cache_keys = [evaluator.cache_key(index, key) for index, key in enumerate(keys)]
    heard = {index: found for index, cached in enumerate(cache_keys) if (found := cached_scores(cached)) is not None}
    for _ in heard:
        advance()
    missing = [index for index in range(len(keys)) if index not in heard]
    for index, take in zip(missing, player.basses(sampling, of=missing), strict=True):
        heard[index] = evaluator.hear(index, take.audio, key=keys[index], excess=take.excess)
        cache_scores(cache_keys[index], heard[index])
        advance()
    return [heard[index] for index in range(len(keys))]


def generated(
    model: BassAccompaniment, requests: Sequence[ClipRequest], sampling: Sampling, *, seed: int, batch_size: int
) -> Iterator[Scored]:
    """The bass generated for the mix of each clip."""
    for batch in studies.in_batches(len(requests), batch_size):
        clips = [cached_clip(requests[index]) for index in batch]
        seeds = [studies.clip_seed(seed, index) for index in batch]
        basses = model.accompany(np.stack([clip.mix for clip in clips]), seeds=seeds, sampling=sampling)
        yield from map(Scored, clips, basses)


def embeddings(player: Player, evaluator: Evaluator, sampling: Sampling) -> list[np.ndarray]:
    """The embeddings `(windows, dim)` of the bass for each clip; those that are at hand are not played again."""
    return [
        evaluator.embedding(player.key(index, sampling), partial(player.bass, index, sampling))
        for index in range(len(player.requests))
    ]


def anchor_tasks(
    player: Player,
    evaluator: Evaluator,
    measurements: studies.Measurements,
    metrics: Sequence[str],
    also: Mapping[str, Callable[[str, Anchor], Interval]] | None = None,
) -> list[studies.Task]:
    """A task for each anchor: the `metrics` of it, and what is measured `also`, from its name and itself."""
    codec = studies.codec_setting(player.model)
    more = also or {}

    def measure(advance: studies.Advance, name: str, anchor: Anchor) -> list[Interval]:
        scores = evaluator.scores(evaluator.hear_anchor(name, anchor, advance, codec=codec))
        return [*(scores[metric] for metric in metrics), *(measured(name, anchor) for measured in more.values())]

    return [
        measurements.task(
            name, codec if name == CODEC else {}, (*metrics, *more), partial(measure, name=name, anchor=anchor)
        )
        for name, anchor in anchors(player.model.codec).items()
    ]


@contextmanager
def _few_windows() -> Iterator[None]:
    with warnings.catch_warnings():
        # Small runs are for trying out; all rows are measured at equal counts, as the warning advises.
        warnings.simplefilter("ignore", FewWindowsWarning)
        yield
