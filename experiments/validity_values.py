"""What every metric says of real basses and of their damaged forms, clip by clip, each on disk before the next."""

import functools
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_keyed
from bassbench.errors import BadInputError
from bassbench.files import append_lines, parse_json, read_lines
from bassbench.metrics.adherence import accompanied
from bassbench.metrics.gate import gate
from bassbench.metrics.metric import ClipMetric, Scored
from bassbench.metrics.registry import clip_metrics
from bassbench.metrics.sets import EmbeddedSets, SetMetric
from bassbench.plugins import warn_once
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.suite.anchors import Anchor, Codec, derangement
from bassbench.training.pretrained import find_device
from bassbench.workers import in_processes
from experiments import studies
from experiments.damage import VERSION, damages, style_clip
from reference_model.pipeline import networks_hash

UNDAMAGED = "real bass"
GATE = ClipMetric(
    "passes the gate",
    "",
    "higher",
    "bassbench.metrics.gate",
    lambda it: float(gate(it.bass, reference=it.clip.bass).passed),
)
Scores = dict[str, np.ndarray]
"""Damage -> values `(units,)`, NaN where undefined."""
ClipValues = dict[str, dict[str, float | None]]
"""Damage -> metric -> value of one clip, None where undefined."""


@dataclass(frozen=True)
class ModelCodec:
    """A model's bass autoencoder as a damage, and the hash of its weights."""

    through: Codec
    hash: str


@functools.lru_cache(maxsize=1)
def model_codec(weights: str, device: str) -> ModelCodec:
    """The codec of a model, loaded once a process.

    Raises:
        BadInputError: unknown or damaged weights, unavailable device.
    """
    model = studies.load_model(weights, device)
    return ModelCodec(model.codec, networks_hash(model.bass_autoencoder))


@dataclass(frozen=True)
class DamagedClips:
    """The clips of one split, whose basses are damaged with those of partner songs, and the reference of sets.

    `metrics` names metrics of clips; without `embedder` there are no metrics of sets.
    """

    requests: tuple[ClipRequest, ...]
    reference: tuple[ClipRequest, ...]
    metrics: tuple[str, ...]
    embedder: str | None
    pair_embedder: str
    weights: str
    device: str
    seed: int

    @property
    def codec(self) -> ModelCodec:
        """The codec that is one of the damages."""
        return model_codec(self.weights, self.device)

    @property
    def damages(self) -> dict[str, Anchor]:
        """All damages by name."""
        return damages(self.codec.through)

    def partner(self, index: int) -> ClipRequest:
        """The song whose bass stands for "other song" of a clip."""
        order = derangement(len(self.requests), generator=np.random.default_rng(self.seed))
        return self.requests[order[index]]

    def key(self, index: int) -> str:
        """Content hash of all that the damaged basses of a clip depend on."""
        how = json.dumps([VERSION, studies.clip_seed(self.seed, index)])
        return content_hash(self.requests[index].key, self.partner(index).key, self.codec.hash, how)

    def values(self, path: Path, processes: int, advance: studies.Advance) -> dict[str, Scores]:
        """Metric -> damage -> values of all clips; what the file `path` holds is not measured again.

        Raises:
            BadInputError: the file cannot be read or written.
        """
        versions = json.dumps([[metric.name, metric.version] for metric in self._clip_metrics()])
        keys = [content_hash(self.key(index), versions, self.embedder or "") for index in range(len(self.requests))]
        known = _read(path)
        missing = [index for index, key in enumerate(keys) if key not in known]
        for _ in range(len(keys) - len(missing)):
            advance()
        for index, found in zip(missing, in_processes(self.measure, missing, processes), strict=True):
            append_lines(path, [{"key": keys[index], "clip": self.requests[index].song.name, "values": found}])
            known[keys[index]] = found
            advance()
        clips = [known[key] for key in keys]
        return {
            metric: {
                name: np.array([np.nan if clip[name][metric] is None else clip[name][metric] for clip in clips], float)
                for name in (UNDAMAGED, *self.damages)
            }
            for metric in self.metrics
        }

    def measure(self, index: int) -> ClipValues:
        """The values of one clip; embeddings for metrics of sets go to the cache on the way."""
        clip, other = cached_clip(self.requests[index]), cached_clip(self.partner(index))
        metrics = self._clip_metrics()
        style = style_clip(clip, other) if any("style" in metric.name for metric in metrics) else None
        values: ClipValues = {}
        for name in (UNDAMAGED, *self.damages):
            bass = self._bass(index, name)
            if self.embedder is not None:
                for pairs in (False, True):
                    self._embedding(index, name, bass, pairs=pairs)
            values[name] = {metric.name: _value(metric, Scored(clip, bass, style), name) for metric in metrics}
        return values

    def set_scores(self, metric: SetMetric, group: int) -> Scores:
        """A metric of sets for each `group` of songs, by damage: what remains after whole groups is left out.

        Fewer songs than one group give no values.
        """
        order = derangement(len(self.reference), generator=np.random.default_rng(self.seed))
        reference = [_embedded(self, request, request, pairs=False) for request in self.reference]
        pairs = [_embedded(self, request, request, pairs=True) for request in self.reference] if metric.pairs else []
        mispaired = (
            [_embedded(self, one, self.reference[order[i]], pairs=True) for i, one in enumerate(self.reference)]
            if metric.pairs
            else []
        )
        scores = {}
        for name in (UNDAMAGED, *self.damages):
            values = []
            for start in range(0, len(self.requests) - group + 1, group):
                these = range(start, start + group)
                sets = EmbeddedSets(
                    make_bass=lambda: [self._embedding(i, name, pairs=False) for i in these],  # noqa: B023
                    make_pairs=lambda: [self._embedding(i, name, pairs=True) for i in these],  # noqa: B023
                    make_reference=lambda: reference,
                    make_reference_pairs=lambda: pairs,
                    make_mispaired=lambda: mispaired,
                    replicates=1,  # groups of songs are what the intervals are over
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # of small sets: all are equally small
                    values.append(metric.measure(sets, np.random.default_rng(self.seed)).value)
            scores[name] = np.array(values, float)
        return scores

    def _clip_metrics(self) -> list[ClipMetric]:
        known = {GATE.name: GATE, **clip_metrics()}
        return [known[name] for name in self.metrics]

    def _bass(self, index: int, name: str) -> np.ndarray:
        clip = cached_clip(self.requests[index])
        if name == UNDAMAGED:
            return clip.bass
        return self.damages[name](clip, cached_clip(self.partner(index)), studies.clip_seed(self.seed, index))

    def _embedding(self, index: int, name: str, bass: np.ndarray | None = None, *, pairs: bool) -> np.ndarray:
        def audio() -> np.ndarray:
            made = self._bass(index, name) if bass is None else bass
            return accompanied(cached_clip(self.requests[index]).mix, made) if pairs else made

        return self.embed(content_hash(self.key(index), name), audio, pairs=pairs)

    def embed(self, key: str, audio: Callable[[], np.ndarray], *, pairs: bool) -> np.ndarray:
        """Embeddings `(windows, dim)` from the cache."""
        embedder = self.pair_embedder if pairs else self.embedder
        assert embedder is not None
        key = content_hash("damage", key, str(pairs))
        return embed_keyed(key, audio, embedder, device=str(find_device(self.device)))


def _embedded(clips: DamagedClips, mix: ClipRequest, bass: ClipRequest, *, pairs: bool) -> np.ndarray:
    def audio() -> np.ndarray:
        made = cached_clip(bass).bass
        return accompanied(cached_clip(mix).mix, made) if pairs else made

    return clips.embed(content_hash(mix.key, bass.key), audio, pairs=pairs)


def _value(metric: ClipMetric, scored: Scored, name: str) -> float | None:
    """A metric's value, None where undefined; a metric that fails on damaged audio is named and undefined there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of silence, which is one of the damages
            value = float(metric.measure(scored))
    except (BadInputError, ValueError) as error:
        warn_once(f"metric '{metric.name}' failed on '{name}' of {scored.clip.name} ({error})")
        return None
    return value if np.isfinite(value) else None


def _read(path: Path) -> dict[str, ClipValues]:
    known = {}
    for where, line in read_lines(path):
        try:
            entry = parse_json(line)
            known[entry["key"]] = entry["values"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{where}: not the values of a clip ({error}); move the file away") from None
    return known
