"""The suite: every clip of a source is gated, measured and embedded, one at a time; then sets and means are summed up.

What is measured of a clip is on disk before the next begins, so a run that was cut off goes on where it was, and
several processes each take their share of the clips. Audio is held one batch at a time, whatever the number of clips;
of each clip a few numbers and its embedding (kilobytes) are kept.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from bassbench.audio import fit_length
from bassbench.bad_input import BadInputError
from bassbench.baselines import derangement
from bassbench.bootstrap import RESAMPLES, Interval, mean_interval
from bassbench.clip_rows import ClipKey, ClipRow, ClipRowStore
from bassbench.clip_set import ClipEntry
from bassbench.embed import protocol
from bassbench.embedding_cache import embed_keyed
from bassbench.files import content_hash
from bassbench.gate import gate
from bassbench.metric import ClipMetric, Scored
from bassbench.metric_registry import GATE, Gate, Measure, Metric
from bassbench.metrics.adherence import accompanied
from bassbench.plugins import warn_once
from bassbench.probes import CLIPS as PROBED
from bassbench.probes import MATCH, Probe, probe_clip
from bassbench.rows import Measurement, canonical
from bassbench.set_metrics import EmbeddedSets, SetMetric, Songs
from bassbench.sources import AnchorSource, Pieces, Source
from bassbench.system_source import SystemSource

VERSION = 1  # raise it when the suite itself would give other numbers
EXPERIMENT = "suite"


SECONDS = "seconds to play"


@dataclass(frozen=True)
class Plan:
    """What is measured, on which clips, and how: the same for the system and for its anchors."""

    data: str
    pieces: Pieces
    reference: tuple[ClipEntry, ...]
    metrics: tuple[Metric, ...]
    probes: tuple[Probe, ...]
    embedder: str
    pair_embedder: str
    device: str
    batch_size: int = 8
    left_out: str = ""
    """What the data have and the clips do not (`ClipSet.left_out`)."""

    @property
    def clip_metrics(self) -> list[ClipMetric]:
        """The metrics of single clips."""
        return [metric for metric in self.metrics if isinstance(metric, ClipMetric)]

    @property
    def set_metrics(self) -> list[SetMetric]:
        """The metrics of sets."""
        return [metric for metric in self.metrics if isinstance(metric, SetMetric)]

    def clip_protocol(self, metric: Measure) -> dict[str, Any]:
        """How one clip is measured, whichever clips there are besides it."""
        shared = {"suite": VERSION, "data": self.data, "metric version": metric.version, "style": self.pieces.style}
        return {**shared, "swaps": "one cycle through all songs"} if isinstance(metric, Probe) else shared

    def protocol(self, metric: Measure) -> dict[str, Any]:
        """How the row of a metric is measured: rows with equal protocols can be ranked together."""
        entries = self.pieces.entries[:PROBED] if isinstance(metric, Probe) else self.pieces.entries
        about = {**self.clip_protocol(metric), "clips": _described(entries)}
        if isinstance(metric, SetMetric):
            reference = f"real bass of {_described(self.reference)}"
            embedder = self.pair_embedder if metric.pairs else self.embedder
            return {**about, "embedding": protocol(embedder), "reference": reference}
        return {**about, "interval": f"95 %, bootstrap over songs, {RESAMPLES} resamples"}


@dataclass(frozen=True)
class Share:
    """Which clips one of several processes takes."""

    process: int = 0
    processes: int = 1

    def of(self, count: int) -> list[int]:
        """Every n-th index."""
        return list(range(self.process, count, self.processes))


def measure_clips(plan: Plan, source: Source, store: ClipRowStore, share: Share, *, what: str = "") -> None:
    """Append what is missing of the clip rows of this process's share, and embed its clips.

    A metric that fails is named on the error stream and left out; the others go on.

    Raises:
        BadInputError: the source cannot give a bass, or rows cannot be written.
    """
    known = set(store.read())
    peaks: dict[str, float] = {}
    mine = share.of(len(plan.pieces.entries))
    failed: set[str] = set()
    with tqdm(total=len(mine), desc=what or source.name, unit="clip", disable=share.process > 0, leave=False) as bar:
        for start in range(0, len(mine), plan.batch_size):
            block = mine[start : start + plan.batch_size]
            took = source.prepare(block)
            for index in block:
                rows = _clip_rows(plan, source, index, known, failed, peaks)
                if index in took:
                    rows.append(_row(plan, source, index, SECONDS, 1, "", took[index]))
                if rows:
                    store.append(rows, share.process)
                bar.update()
    over = {name: peak for name, peak in peaks.items() if peak > 1}
    if over and not isinstance(source, AnchorSource):
        worst = max(over, key=over.__getitem__)
        warn_once(
            f"'{source.name}' goes beyond full scale on {len(over)} of {len(peaks)} clips, to a peak of "
            f"{over[worst]:.2f} on {worst}; it is measured as it is, but a player would clip it"
        )


def row_key(plan: Plan, source: Source, index: int, metric: Measure) -> ClipKey:
    """Where the row of one metric of one clip is found."""
    return _measured(plan, source, index, metric, 0.0).key


def _clip_rows(
    plan: Plan, source: Source, index: int, known: set[ClipKey], failed: set[str], peaks: dict[str, float]
) -> list[ClipRow]:
    probes = plan.probes if index < PROBED and isinstance(source, SystemSource) else ()
    wanted: list[Measure] = [GATE, *plan.clip_metrics, *probes]
    wanted = [metric for metric in wanted if row_key(plan, source, index, metric) not in known]
    embeds = bool(plan.set_metrics)
    if not wanted and not embeds:
        return []
    given: list[Scored] = []

    def scored() -> Scored:
        if not given:
            given.append(source.give(index))
            peaks[given[0].clip.name] = float(np.abs(given[0].bass).max(initial=0.0))
        return given[0]

    if embeds:
        _embedding(plan, source, index, scored)
        if _needs_pairs(plan):
            _pair_embedding(plan, source, index, scored)
    if not wanted:
        return []
    report = gate(scored().bass, reference=scored().clip.bass)
    rows = []
    for metric in wanted:
        value, note = float("nan"), ""
        if isinstance(metric, Gate):
            value, note = float(report.passed), " ".join(report.flags)
        elif isinstance(metric, ClipMetric) and "broken" not in report.flags:
            value = _value(metric, scored(), source, failed)
        if not isinstance(metric, Probe) and metric.name not in failed:
            rows.append(_measured(plan, source, index, metric, value, note))
    again = [metric for metric in wanted if isinstance(metric, Probe)]
    if again and isinstance(source, SystemSource):
        match = next((metric for metric in plan.clip_metrics if metric.name == MATCH), None)

        def fit(played: Scored) -> float:
            if match is None or "broken" in report.flags:
                return float("nan")
            return _value(match, played, source, failed)

        values = probe_clip(source, index, scored(), again, fit)
        kept = [probe for probe in again if not (probe.by_match and MATCH in failed)]
        rows += [_measured(plan, source, index, probe, values[probe.name]) for probe in kept]
    return rows


def _value(metric: ClipMetric, scored: Scored, source: Source, failed: set[str]) -> float:
    """What a metric gives; one that has failed before, or does now, is in `failed`, and its value is NaN."""
    if metric.name in failed:
        return float("nan")
    try:
        return float(metric.measure(scored))
    except (Exception, SystemExit) as error:
        failed.add(metric.name)
        warn_once(
            f"metric '{metric.name}' failed on clip {scored.clip.name} of '{source.name}' "
            f"({type(error).__name__}: {error}); it is left out"
        )
        return float("nan")


def _measured(plan: Plan, source: Source, index: int, metric: Measure, value: float, note: str = "") -> ClipRow:
    row = _row(plan, source, index, metric.name, metric.version, _hash(plan.clip_protocol(metric)), value, note)
    if isinstance(metric, Probe):  # what a system plays for the swapped mix depends on the partner too
        partner = plan.pieces.entries[plan.pieces.partners[index]].key
        row = dataclasses.replace(row, output=content_hash(row.output, partner))
    return row


def _row(
    plan: Plan, source: Source, index: int, metric: str, version: int, how: str, value: float, note: str = ""
) -> ClipRow:
    entry = plan.pieces.entries[index]
    return ClipRow(entry.name, entry.song, metric, version, how, source.key(index), value, note)


def clip_values(plan: Plan, source: Source, rows: dict[ClipKey, ClipRow], metric: Measure) -> list[ClipRow] | None:
    """The rows of one metric in the order of the clips; None if one is missing, as after a failed metric."""
    count = len(plan.pieces.entries)
    indexes = range(min(PROBED, count) if isinstance(metric, Probe) else count)
    found = [rows.get(row_key(plan, source, index, metric)) for index in indexes]
    return None if any(row is None for row in found) else [row for row in found if row is not None]


def mean_over_songs(rows: Sequence[ClipRow], seed: int) -> tuple[Interval, int]:
    """Mean over songs of the means of their clips, where defined, and how many clips are."""
    songs: dict[str, list[float]] = {}
    for row in rows:
        if np.isfinite(row.value):
            songs.setdefault(row.song, []).append(row.value)
    means = [float(np.mean(values)) for values in songs.values()]
    return mean_interval(means, generator=np.random.default_rng(seed)), sum(map(len, songs.values()))


def set_value(metric: SetMetric, sets: EmbeddedSets, seed: int) -> Interval:
    """A set metric's value, what it warns of said in one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = metric.measure(sets, np.random.default_rng(seed))
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            warn_once(f"{metric.name}: {warning.message}")
    return value


def embedded_sets(plan: Plan, source: Source) -> EmbeddedSets:
    """The embeddings that set metrics compare, from the cache or made anew; clips of one song are put together."""
    count = len(plan.pieces.entries)
    return EmbeddedSets(
        make_bass=lambda: songs_of(
            plan.pieces.entries, [_embedding(plan, source, i, partial(source.give, i)) for i in range(count)]
        ),
        make_reference=lambda: songs_of(plan.reference, [_real(plan, entry) for entry in plan.reference]),
        make_pairs=lambda: songs_of(
            plan.pieces.entries, [_pair_embedding(plan, source, i, partial(source.give, i)) for i in range(count)]
        ),
        make_reference_pairs=lambda: songs_of(
            plan.reference, [_real_pair(plan, entry, entry) for entry in plan.reference]
        ),
        make_mispaired=lambda: songs_of(
            plan.reference, [_real_pair(plan, *pair) for pair in mispairs(plan.reference, plan.pieces.seed)]
        ),
    )


def mispairs(entries: Sequence[ClipEntry], seed: int) -> list[tuple[ClipEntry, ClipEntry]]:
    """Each clip, for its mix, with a clip of another song, for its bass; a function of the seed."""
    partner = partners(entries, seed)
    return [(entry, entries[other]) for entry, other in zip(entries, partner, strict=True)]


def partners(entries: Sequence[ClipEntry], seed: int) -> tuple[int, ...]:
    """For each clip the index of a clip of another song: one random cycle through the songs.

    Raises:
        BadInputError: fewer than two songs.
    """
    songs = list(dict.fromkeys(entry.song for entry in entries))
    if len(songs) < 2:
        raise BadInputError(f"pairing each song with another takes at least two songs, got {len(songs)}")
    other = derangement(len(songs), generator=np.random.default_rng(seed))
    after = {song: songs[other[i]] for i, song in enumerate(songs)}
    clips: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        clips.setdefault(entry.song, []).append(index)
    places = {index: place for these in clips.values() for place, index in enumerate(these)}
    return tuple(
        clips[after[entry.song]][places[index] % len(clips[after[entry.song]])] for index, entry in enumerate(entries)
    )


def songs_of(entries: Sequence[ClipEntry], embeddings: Sequence[np.ndarray]) -> Songs:
    """Embeddings `(windows, dim)` of clips, those of one song put together, in the order of first clips."""
    songs: dict[str, list[np.ndarray]] = {}
    for entry, embedding in zip(entries, embeddings, strict=True):
        songs.setdefault(entry.song, []).append(embedding)
    return [np.concatenate(parts) for parts in songs.values()]


def measurement(plan: Plan, metric: Measure, system: str, setting: dict[str, Any], clips: int) -> Measurement:
    """What identifies the row of a metric."""
    return Measurement(
        experiment=EXPERIMENT,
        system=system,
        setting=setting,
        metric=metric.name,
        clips=clips,
        seed=plan.pieces.seed,
        protocol=plan.protocol(metric),
    )


def _embedding(plan: Plan, source: Source, index: int, scored: Callable[[], Scored]) -> np.ndarray:
    return _embed(plan, plan.embedder, source.key(index), lambda: _finite(scored().bass))


def _pair_embedding(plan: Plan, source: Source, index: int, scored: Callable[[], Scored]) -> np.ndarray:
    def together() -> np.ndarray:
        return accompanied(scored().clip.mix, _finite(scored().bass))

    return _embed(plan, plan.pair_embedder, content_hash("pair", source.key(index)), together)


def _real(plan: Plan, entry: ClipEntry) -> np.ndarray:
    return _embed(plan, plan.embedder, content_hash("real bass", entry.key), lambda: entry.load().bass)


def _real_pair(plan: Plan, mix: ClipEntry, bass: ClipEntry) -> np.ndarray:
    def together() -> np.ndarray:
        below = mix.load().mix
        return accompanied(below, fit_length(bass.load().bass, below.shape[1]))

    return _embed(plan, plan.pair_embedder, content_hash("real pair", mix.key, bass.key), together)


def _embed(plan: Plan, embedder: str, key: str, audio: Callable[[], np.ndarray]) -> np.ndarray:
    return embed_keyed(key, audio, embedder, device=plan.device)


def _finite(bass: np.ndarray) -> np.ndarray:
    # A broken clip counts as silence in sets: left out, it would do a system good.
    return bass if np.isfinite(bass).all() else np.zeros_like(bass)


def _needs_pairs(plan: Plan) -> bool:
    return any(metric.pairs for metric in plan.set_metrics)


def _hash(protocol: dict[str, Any]) -> str:
    return content_hash(canonical(protocol))[:8]


def _described(entries: Sequence[ClipEntry]) -> str:
    return f"{len(entries)} clips, {content_hash(*(entry.key for entry in entries))[:8]}"
