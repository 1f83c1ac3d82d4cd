"""Does each metric see what it is meant to see?  Every metric against graded damage of the real bass.

    python -m experiments.metric_validity

The real bass of each clip is damaged in many ways (`experiments.perturbations`), and every metric of `bassbench list`
scores it before and after. AUC: the chance that a real bass scores better than a damaged one of any song; paired: the
share of songs whose own bass scores better than its damaged form. A metric of sets is given groups of songs in place of
songs.
Clips are measured one at a time and each is on disk before the next; run it again to go on where it was cut off.
"""

import functools
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import seaborn as sns
import tyro

from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_keyed
from bassbench.embedders.registry import DEFAULT_EMBEDDER, PAIR_EMBEDDER, protocol
from bassbench.errors import BadInputError
from bassbench.files import append_lines, parse_json, read_lines
from bassbench.metrics.adherence import accompanied
from bassbench.metrics.gate import gate
from bassbench.metrics.metric import ClipMetric, Scored
from bassbench.metrics.registry import all_metrics, chosen, clip_metrics
from bassbench.metrics.sets import MIN_SONGS, EmbeddedSets, SetMetric
from bassbench.metrics.statistics import Interval, auc_interval, mean_interval
from bassbench.plugins import warn_once
from bassbench.results.rows import Measurement, Row, RowStore, write_csv
from bassbench.results.table import require_one_protocol
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.suite.anchors import Anchor, Codec, derangement
from bassbench.training.pretrained import find_device
from bassbench.workers import in_processes
from experiments import perturbations, studies
from experiments.figures import panels
from experiments.perturbations import graded_perturbations, style_clip
from experiments.studies import Settings, Study
from reference_model.pipeline import networks_hash

UNPERTURBED = "real bass"
GATE = ClipMetric(
    "passes the gate",
    "",
    "higher",
    "bassbench.metrics.gate",
    lambda it: float(gate(it.bass, reference=it.clip.bass).passed),
)
Scores = dict[str, np.ndarray]
"""Perturbation -> values `(units,)`, NaN where undefined."""
ClipValues = dict[str, dict[str, float | None]]
"""Perturbation -> metric -> value of one clip, None where undefined."""


@dataclass(frozen=True)
class ModelCodec:
    """A model's bass autoencoder as a perturbation, and the hash of its weights."""

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
class PerturbedClips:
    """The clips of one split, whose basses are perturbed with those of partner songs, and the reference of sets.

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
        """The codec that is one of the perturbations."""
        return model_codec(self.weights, self.device)

    @property
    def perturbations(self) -> dict[str, Anchor]:
        """All by name."""
        return graded_perturbations(self.codec.through)

    def partner(self, index: int) -> ClipRequest:
        """The song whose bass stands for "other song" of a clip."""
        order = derangement(len(self.requests), generator=np.random.default_rng(self.seed))
        return self.requests[order[index]]

    def key(self, index: int) -> str:
        """Content hash of all that the damaged basses of a clip depend on."""
        how = json.dumps([perturbations.VERSION, studies.clip_seed(self.seed, index)])
        return content_hash(self.requests[index].key, self.partner(index).key, self.codec.hash, how)

    def values(self, path: Path, processes: int, advance: studies.Advance) -> dict[str, Scores]:
        """Metric -> perturbation -> values of all clips; what the file `path` holds is not measured again.

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
                for name in (UNPERTURBED, *self.perturbations)
            }
            for metric in self.metrics
        }

    def measure(self, index: int) -> ClipValues:
        """The values of one clip; embeddings for metrics of sets go to the cache on the way."""
        clip, other = cached_clip(self.requests[index]), cached_clip(self.partner(index))
        metrics = self._clip_metrics()
        style = style_clip(clip, other) if any("style" in metric.name for metric in metrics) else None
        values: ClipValues = {}
        for name in (UNPERTURBED, *self.perturbations):
            bass = self._bass(index, name)
            if self.embedder is not None:
                for pairs in (False, True):
                    self._embedding(index, name, bass, pairs=pairs)
            values[name] = {metric.name: _value(metric, Scored(clip, bass, style), name) for metric in metrics}
        return values

    def set_scores(self, metric: SetMetric, group: int) -> Scores:
        """A metric of sets for each `group` of songs, by perturbation: what remains after whole groups is left out.

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
        for name in (UNPERTURBED, *self.perturbations):
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
        if name == UNPERTURBED:
            return clip.bass
        return self.perturbations[name](clip, cached_clip(self.partner(index)), studies.clip_seed(self.seed, index))

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


def _embedded(clips: PerturbedClips, mix: ClipRequest, bass: ClipRequest, *, pairs: bool) -> np.ndarray:
    def audio() -> np.ndarray:
        made = cached_clip(bass).bass
        return accompanied(cached_clip(mix).mix, made) if pairs else made

    return clips.embed(content_hash(mix.key, bass.key), audio, pairs=pairs)


def _value(metric: ClipMetric, scored: Scored, name: str) -> float | None:
    """A metric's value, None where undefined; a metric that fails on damaged audio is named and undefined there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of silence, which is one of the perturbations
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


NAME = "metric_validity"
AUC, PAIRED = "AUC", "own bass better"
PURPOSE: dict[str, tuple[str, ...]] = {
    GATE.name: ("silence", "clipped by 24 dB"),
    "chord-tone share": ("up 1 semitone", "other song"),
    "root on downbeats": ("up 1 semitone", "other song"),
    "share sounding in the mix": ("up 1 semitone", "other song"),
    "chroma agreement": ("up 1 semitone", "other song"),
    "notes in the key": ("up 1 semitone", "other song"),
    "voiced share": ("noise, SNR 0 dB", "noise alone"),
    "voiced share against the real bass": ("noise, SNR 0 dB", "noise alone"),
    "loudness against the real bass": ("6 dB quieter",),
    "level drift": ("fades by 20 dB",),
    "sound in the sparsest quarter": ("second half silent",),
    "onset F1": ("late by 0.25 beat", "other song"),
    "onsets on the grid": ("late by 0.125 beat",),
    "onset lag": ("late by 0.125 beat",),
    "drift": ("1 % too slow",),
    "onset density against the real bass": ("other song", "second half silent"),
    "onset correlation": ("late by 0.25 beat", "other song"),
    "side to mid below 120 Hz": ("right channel inverted",),
    "mono fold-down loss": ("right channel inverted",),
    "style cosine distance": ("other program",),
    "style Euclidean distance": ("other program",),
    "match": ("up 1 semitone", "late by 0.5 beat", "other song"),
    "FAD": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "FAD-infinity": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "per-song FAD": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "KAD": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "density": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "coverage": ("noise, SNR 10 dB", "low-pass 250 Hz"),
    "prompt adherence": ("up 1 semitone", "other song"),
}
"""Damage that each metric exists to see; of a plug-in's metric all damage is shown."""
_NOTES = """
Each line is a metric with damage that it exists to see; the figure and the .csv hold all damage. AUC: chance that a
real bass scores better than a damaged one of any song (0.5: the metric does not see it, 1: it always does); "own bass
better": the same within one song. Better is higher or lower as the metric says; where the real bass's value is best,
closer to the mean of the other songs' real basses is better. Metrics that compare with the real bass itself see any
difference from it: for those 1 is expected. A metric of sets is given groups of songs. Undefined: fewer than half of
the songs have a value. Brackets: 95 % confidence interval, bootstrap over songs (over groups).
"""


@dataclass(frozen=True, kw_only=True)
class MetricValidity(Settings):
    """AUC of every metric against graded perturbations, the model's codec among them, on test and human split.

    Writes metric_validity.jsonl, .csv, .md and .png, and the values of each clip in the folder metric_validity. A
    second run computes nothing twice.
    """

    test: int = 24
    """Songs of the test split."""
    human: int = 24
    """Pieces of the human split; 0 leaves it out."""
    reference_clips: int = 24
    """Songs of either split, after those, whose real basses sets are compared with; 0 leaves metrics of sets out."""
    group: int = MIN_SONGS
    """Songs in a group, the unit of metrics of sets."""
    metrics: str | None = None
    """Names separated by commas (default: all)."""
    embedder: Annotated[str, tyro.conf.arg(metavar="NAME")] = DEFAULT_EMBEDDER
    """What metrics of sets listen with."""
    pair_embedder: Annotated[str, tyro.conf.arg(metavar="NAME")] = PAIR_EMBEDDER
    """What prompt adherence listens to mix and bass together with."""
    processes: int = 2
    """Processes that perturb and measure."""

    def chosen(self) -> list[ClipMetric | SetMetric]:
        """The metrics to be tested, the gate first.

        Raises:
            BadInputError: a name that no metric has.
        """
        names = None if self.metrics is None else [name.strip() for name in self.metrics.split(",")]
        found = chosen(names, {GATE.name: GATE, **all_metrics()})
        return [metric for metric in found if isinstance(metric, ClipMetric) or self.reference_clips]

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if self.test < 2 or self.human == 1 or self.human < 0:
            raise BadInputError("intervals over songs take at least 2 in --test and --human (or --human 0)")
        if self.group < MIN_SONGS or 0 < self.reference_clips < MIN_SONGS or self.reference_clips < 0:
            raise BadInputError(f"--group and --reference-clips take at least {MIN_SONGS} (or --reference-clips 0)")
        for embedder in (self.embedder, self.pair_embedder):
            protocol(embedder)
        if not self.chosen():
            raise BadInputError("metrics of sets take --reference-clips")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        requests = {}
        for split, count in (("test", self.test), ("human", self.human)):
            if not count:
                continue
            songs = clip_requests(split)
            reference = self.reference_clips if self.has_sets else 0
            if count + reference > len(songs):
                raise BadInputError(
                    f"split '{split}' has {len(songs)} songs, too few for {count} and {reference} to compare with; "
                    f"lower --{split} or --reference-clips"
                )
            requests[split] = (songs[:count], songs[count : count + reference])
        studies.output_folder(self.output)
        rows = study(self, requests)
        STUDY.report(shown(rows), self.output)
        write_csv(rows, self.output / f"{NAME}.csv")  # all, not only what is shown
        validity_figure(self.output / f"{NAME}.png", [row for row in rows if row.metric == AUC])

    @property
    def has_sets(self) -> bool:
        """Whether metrics of sets are among the chosen."""
        return any(isinstance(metric, SetMetric) for metric in self.chosen())


def study(config: MetricValidity, requests: dict[str, tuple[list[ClipRequest], list[ClipRequest]]]) -> list[Row]:
    """All rows, the missing ones measured: one task for each split, given its (evaluated, reference) requests."""
    metrics = config.chosen()
    how = {
        "evaluated": {split: _described(both[0]) for split, both in requests.items()},
        "sets": {
            "embedder": protocol(config.embedder),
            "embedder of pairs": protocol(config.pair_embedder),
            "groups": f"of {config.group} songs",
            "reference": {split: _described(both[1]) for split, both in requests.items()},
        }
        if config.has_sets
        else "left out",
        "damage": f"version {perturbations.VERSION}",
        "interval": "95 %, bootstrap over songs",
    }
    tasks = []
    for split, (evaluated, reference) in requests.items():
        clips = PerturbedClips(
            requests=tuple(evaluated),
            reference=tuple(reference),
            metrics=tuple(metric.name for metric in metrics if isinstance(metric, ClipMetric)),
            embedder=config.embedder if config.has_sets else None,
            pair_embedder=config.pair_embedder,
            weights=config.weights,
            device=config.device,
            seed=config.seed,
        )
        made = studies.Measurements(NAME, len(evaluated), config.seed, how)
        wanted: list[Measurement] = []
        for metric in metrics:
            for name in clips.perturbations:
                setting: dict[str, Any] = {"split": split, "damage": name, "version": metric.version}
                if name == perturbations.CODEC:
                    setting["codec"] = clips.codec.hash
                wanted += made.of(metric.name, setting, (AUC, PAIRED))

        def measure(advance: studies.Advance, split: str = split, clips: PerturbedClips = clips) -> list[Interval]:
            values = clips.values(config.output / NAME / f"{split}.jsonl", config.processes, advance)
            results: list[Interval] = []
            for metric in metrics:
                scores = (
                    clips.set_scores(metric, config.group) if isinstance(metric, SetMetric) else values[metric.name]
                )
                for name in clips.perturbations:
                    results += separation(scores[UNPERTURBED], scores[name], metric.direction, config.seed)
            return results

        tasks.append(studies.Task(tuple(wanted), measure))
    store = RowStore(config.output / f"{NAME}.jsonl")
    return studies.measure_missing(tasks, store, device=str(find_device(config.device)), what=NAME)


def separation(real: np.ndarray, damaged: np.ndarray, direction: str, seed: int) -> tuple[Interval, Interval]:
    """Pooled AUC and paired share by which `real` is better than `damaged`, both `(units,)`; NaN is left out.

    `direction` is that of `bassbench.metrics.metric.ClipMetric`. Undefined where fewer than half of the units, or two,
    count.
    """
    defined = np.isfinite(real) & np.isfinite(damaged)
    if defined.sum() < max(len(real) / 2, 2):
        return (Interval(np.nan, np.nan, np.nan),) * 2
    real, damaged = real[defined], damaged[defined]
    if direction == "real":
        # What is real is learnt from the other songs, or the real bass would be best by definition.
        others = (real.sum() - real) / (len(real) - 1)
        real, damaged = -np.abs(real - others), -np.abs(damaged - others)
    elif direction == "lower":
        real, damaged = -real, -damaged
    pooled = auc_interval(real, damaged, np.random.default_rng(seed))
    paired = mean_interval((real > damaged) + 0.5 * (real == damaged), generator=np.random.default_rng(seed))
    return pooled, paired


def shown(rows: Sequence[Row]) -> list[Row]:
    """What each metric is for; of one whose purpose is not known, everything."""
    return [row for row in rows if row.setting["damage"] in PURPOSE.get(row.system, (row.setting["damage"],))]


def findings(rows: Sequence[Row]) -> str:
    """What the paper leaves open and what these rows say, in words."""
    cases = [row for row in shown(rows) if row.metric == AUC]
    seen = [row for row in cases if row.low > 0.5]
    missed, undefined = (
        "; ".join(f"{row.system} ({row.setting['damage']}, {row.setting['split']})" for row in these) or "none"
        for these in ([row for row in cases if row.low <= 0.5], [row for row in cases if np.isnan(row.low)])
    )
    return (
        "The paper trusts its metrics. Here each is held against damage that it exists to see: it tells the damaged "
        f"from the real bass in {len(seen)} of {len(cases)} cases. Not shown to see what it is for (interval reaches "
        f"0.5): {missed}. Undefined (no chords or keys are known of human pieces, or too few songs): {undefined}."
    )


def _described(requests: Sequence[ClipRequest]) -> str:
    return f"{len(requests)} clips, {studies.clips_hash(requests)}"


_CELL = 0.27


def validity_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw AUC rows, metrics down and perturbations across; undefined cells are grey.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    splits, metrics, names = (
        list(dict.fromkeys(values))
        for values in (
            [row.setting["split"] for row in rows],
            [row.system for row in rows],
            [row.setting["damage"] for row in rows],
        )
    )
    cells = {(row.setting["split"], row.system, row.setting["damage"]): row.value for row in rows}
    colours = sns.color_palette("vlag_r", as_cmap=True).with_extremes(bad="0.85")
    width, height = _CELL * len(names) + 3.2, len(splits) * (_CELL * len(metrics) + 0.4) + 1.4
    with panels(
        path, (width, height), grid=False, style={"font.size": 7, "axes.labelsize": 7, "axes.titlesize": 9}
    ) as figure:
        places = figure.subplots(len(splits), 1, squeeze=False, sharex=True)[:, 0]
        image = None
        for axes, split in zip(places, splits, strict=True):
            values = np.array([[cells.get((split, metric, name), np.nan) for name in names] for metric in metrics])
            image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    shade = "white" if abs(value - 0.5) > 0.4 else "0.2"
                    text = f"{value:.2f}".removeprefix("0") if value < 1 else "1"
                    axes.text(column, row, text, ha="center", va="center", fontsize=5, color=shade)
            axes.set_title(f"{split} split", loc="left", fontweight="bold")
            axes.set_yticks(range(len(metrics)), metrics)
            axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
            axes.tick_params(length=0)
        assert image is not None
        label = "AUC: the real bass scores better (0.5: the metric does not see the damage)"
        figure.colorbar(image, ax=list(places), label=label, shrink=0.6, pad=0.01)


STUDY = Study(
    name=NAME,
    question="Does each metric see what it is meant to see?",
    title="Does each metric see what it is meant to see?",
    default=MetricValidity(),
    quick=MetricValidity(test=3, human=3, reference_clips=0),
    full=MetricValidity(test=14, human=12, reference_clips=14),
    columns=("split", "damage"),
    notes=_NOTES,
    findings=findings,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
