"""The suite: every clip of a source is gated, measured and embedded, one at a time; then sets and means are summed up.

What is measured of a clip is on disk before the next begins, so a run that was cut off goes on where it was, and
several processes each take their share of the clips. Audio is held one batch at a time, whatever the number of clips;
of each clip a few numbers and its embedding (kilobytes) are kept.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from bassbench.audio import fit_length
from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_keyed, entry_name
from bassbench.embedders.registry import protocol
from bassbench.errors import BadInputError
from bassbench.metrics.adherence import accompanied
from bassbench.metrics.gate import gate
from bassbench.metrics.metric import ClipMetric, Scored
from bassbench.metrics.probes import CLIPS as PROBED
from bassbench.metrics.probes import MATCH, Probe
from bassbench.metrics.registry import GATE, Gate, Measure, Metric
from bassbench.metrics.sets import EmbeddedSets, SetMetric, Songs
from bassbench.metrics.statistics import RESAMPLES, Interval, mean_interval
from bassbench.plugins import warn_once
from bassbench.results.rows import Measurement, canonical
from bassbench.suite.clip_set import ClipEntry
from bassbench.suite.probing import probe_clip
from bassbench.suite.run_folder import ClipKey, ClipRow, ClipRowStore
from bassbench.suite.sources import AnchorSource, ClipPlan, Source, SystemSource

VERSION = 2  # raise it when the suite itself would give other numbers
EXPERIMENT = "suite"


SECONDS = "seconds to play"


@dataclass(frozen=True)
class Plan:
    """What is measured, on which clips, and how: the same for the system and for its anchors."""

    data: str
    clips: ClipPlan
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
        shared = {"suite": VERSION, "data": self.data, "metric version": metric.version, "style": self.clips.style}
        return {**shared, "swaps": "with the next song"} if isinstance(metric, Probe) else shared

    def protocol(self, metric: Measure) -> dict[str, Any]:
        """How the row of a metric is measured: rows with equal protocols can be ranked together."""
        entries = self.clips.entries[:PROBED] if isinstance(metric, Probe) else self.clips.entries
        about = {**self.clip_protocol(metric), "clips": _described(entries)}
        if isinstance(metric, SetMetric):
            reference = f"real bass of {_described(self.reference)}"
            embedder = self.pair_embedder if metric.pairs else self.embedder
            return {**about, "embedding": protocol(embedder), "reference": reference}
        return {**about, "interval": f"95 %, bootstrap over songs, {RESAMPLES} resamples"}


@dataclass(frozen=True)
class Embedded:
    """Audio to be embedded, made only if its embedding is not at hand; `key` is a hash of all that it depends on."""

    key: str
    embedder: str
    make: Callable[[], np.ndarray]

    @property
    def name(self) -> str:
        """What the embedding is called in caches."""
        return entry_name(self.key, self.embedder)

    def get(self, device: str) -> np.ndarray:
        """The embedding `(windows, dim)`, from the cache or made."""
        return embed_keyed(self.key, self.make, self.embedder, device=device)


@dataclass(frozen=True)
class Share:
    """Which clips one of several processes takes."""

    process: int = 0
    processes: int = 1

    def of(self, count: int) -> list[int]:
        """Every n-th index."""
        return list(range(self.process, count, self.processes))


def play_clips(plan: Plan, source: Source, store: ClipRowStore, share: Share) -> None:
    """Make the basses of this process's share that have to be made, and append how long each took.

    Raises:
        BadInputError: the source cannot give a bass, or rows cannot be written.
    """
    mine = share.of(len(plan.clips.entries))
    with _bar(f"{source.name}: playing", len(mine), share) as bar:
        for start in range(0, len(mine), plan.batch_size):
            block = mine[start : start + plan.batch_size]
            took = source.prepare(block)
            if took:
                store.append(
                    [_row(plan, source, index, SECONDS, 1, "", seconds) for index, seconds in took.items()],
                    share.process,
                )
            bar.update(len(block))


def measure_clips(plan: Plan, source: Source, store: ClipRowStore, share: Share, *, probe: bool = False) -> None:
    """Append what is missing of the clip rows of this process's share: gate and metrics of clips, or the probes.

    A metric that fails is named on the error stream and left out; the others go on.

    Raises:
        BadInputError: the source cannot give a bass, or rows cannot be written.
    """
    mine = [index for index in share.of(len(plan.clips.entries)) if index < PROBED or not probe]
    wanted: tuple[Measure, ...] = plan.probes if probe else (GATE, *plan.clip_metrics)
    if not wanted:
        return
    known = set(store.read())
    failed: set[str] = set()
    peaks: dict[str, float] = {}
    with _bar(f"{source.name}: {'playing for altered mixes' if probe else 'measuring'}", len(mine), share) as bar:
        for index in mine:
            missing = [metric for metric in wanted if row_key(plan, source, index, metric) not in known]
            if missing:
                store.append(_clip_rows(plan, source, index, missing, failed, peaks), share.process)
            bar.update()
    over = {name: peak for name, peak in peaks.items() if peak > 1}
    if over and not probe and not isinstance(source, AnchorSource):
        worst = max(over, key=over.__getitem__)
        warn_once(
            f"'{source.name}' goes beyond full scale on {len(over)} of {len(peaks)} clips, to a peak of "
            f"{over[worst]:.2f} on {worst}; it is measured as it is, but a player would clip it"
        )


def embed(plan: Plan, wanted: Sequence[Embedded], share: Share, what: str) -> None:
    """Make the embeddings of this process's share that are not at hand; `what` names them in the bar."""
    mine = share.of(len(wanted))
    with _bar(f"{what}: embedding", len(mine), share) as bar:
        for index in mine:
            wanted[index].get(plan.device)
            bar.update()


def row_key(plan: Plan, source: Source, index: int, metric: Measure) -> ClipKey:
    """Where the row of one metric of one clip is found."""
    return _measured(plan, source, index, metric, 0.0).key


def _clip_rows(
    plan: Plan, source: Source, index: int, wanted: Sequence[Measure], failed: set[str], peaks: dict[str, float]
) -> list[ClipRow]:
    scored = source.give(index)
    peaks[scored.clip.name] = float(np.abs(scored.bass).max(initial=0.0))
    report = gate(scored.bass, reference=scored.clip.bass)
    again = [metric for metric in wanted if isinstance(metric, Probe)]
    if again and isinstance(source, SystemSource):
        return _probe_rows(plan, source, index, scored, again, failed, broken="broken" in report.flags)
    rows = []
    for metric in wanted:
        value, note = float("nan"), ""
        if isinstance(metric, Gate):
            value, note = float(report.passed), " ".join(report.flags)
        elif isinstance(metric, ClipMetric) and "broken" not in report.flags:
            value = _value(metric, scored, source, failed)
        if metric.name not in failed:
            rows.append(_measured(plan, source, index, metric, value, note))
    return rows


def _probe_rows(
    plan: Plan,
    source: SystemSource,
    index: int,
    scored: Scored,
    probes: Sequence[Probe],
    failed: set[str],
    *,
    broken: bool,
) -> list[ClipRow]:
    """The probes of a clip; those that go by the match are left out where the match has failed."""
    match = next((metric for metric in plan.clip_metrics if metric.name == MATCH), None)

    def fit(played: Scored) -> float:
        return float("nan") if match is None or broken else _value(match, played, source, failed)

    values = probe_clip(source, index, scored, probes, fit)
    kept = [probe for probe in probes if not (probe.by_match and MATCH in failed)]
    return [_measured(plan, source, index, probe, values[probe.name]) for probe in kept]


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
        partner = plan.clips.entries[plan.clips.partners[index]].key
        row = dataclasses.replace(row, output=content_hash(row.output, partner))
    return row


def _row(
    plan: Plan, source: Source, index: int, metric: str, version: int, how: str, value: float, note: str = ""
) -> ClipRow:
    entry = plan.clips.entries[index]
    return ClipRow(entry.name, entry.song, metric, version, how, source.key(index), value, note)


def clip_values(plan: Plan, source: Source, rows: dict[ClipKey, ClipRow], metric: Measure) -> list[ClipRow] | None:
    """The rows of one metric in the order of the clips; None if one is missing, as after a failed metric."""
    count = len(plan.clips.entries)
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
    entries = plan.clips.entries

    def songs(entries: Sequence[ClipEntry], wanted: Sequence[Embedded]) -> Songs:
        return songs_of(entries, [one.get(plan.device) for one in wanted])

    return EmbeddedSets(
        make_bass=lambda: songs(entries, source_basses(plan, source)),
        make_reference=lambda: songs(plan.reference, real_basses(plan)),
        make_pairs=lambda: songs(entries, source_pairs(plan, source)),
        make_reference_pairs=lambda: songs(plan.reference, real_pairs(plan)),
        make_mispaired=lambda: songs(plan.reference, mispaired(plan)),
    )


def mispairs(entries: Sequence[ClipEntry], seed: int) -> list[tuple[ClipEntry, ClipEntry]]:
    """Each clip, for its mix, with its partner, for its bass."""
    partner = partners(entries, seed)
    return [(entry, entries[other]) for entry, other in zip(entries, partner, strict=True)]


def partners(entries: Sequence[ClipEntry], seed: int) -> tuple[int, ...]:
    """For each clip the index of a clip of another song: of the next song, or of a later one for other seeds than 0.

    Clips come in an order without meaning, so the next is as good as a random one, and stays the partner when more
    clips are scored: what was measured of the pair stays valid.

    Raises:
        BadInputError: fewer than two songs.
    """
    songs = list(dict.fromkeys(entry.song for entry in entries))
    if len(songs) < 2:
        raise BadInputError(f"pairing each song with another takes at least two songs, got {len(songs)}")
    step = 1 + seed % (len(songs) - 1)
    after = {song: songs[(i + step) % len(songs)] for i, song in enumerate(songs)}
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
        seed=plan.clips.seed,
        protocol=plan.protocol(metric),
    )


def source_basses(plan: Plan, source: Source) -> list[Embedded]:
    """The basses of a source, as sets hear them; after `play_clips`."""

    def one(index: int) -> Embedded:
        return Embedded(source.key(index), plan.embedder, lambda: _finite(source.give(index).bass))

    return [one(index) for index in range(len(plan.clips.entries))]


def source_pairs(plan: Plan, source: Source) -> list[Embedded]:
    """The same together with their mixes."""

    def one(index: int) -> Embedded:
        def together() -> np.ndarray:
            scored = source.give(index)
            return accompanied(scored.clip.mix, _finite(scored.bass))

        return Embedded(content_hash("pair", source.key(index)), plan.pair_embedder, together)

    return [one(index) for index in range(len(plan.clips.entries))]


def real_basses(plan: Plan) -> list[Embedded]:
    """The real basses of the reference."""

    def one(entry: ClipEntry) -> Embedded:
        return Embedded(content_hash("real bass", entry.key), plan.embedder, lambda: entry.load().bass)

    return [one(entry) for entry in plan.reference]


def real_pairs(plan: Plan) -> list[Embedded]:
    """The same together with their mixes."""
    return [_real_pair(plan, entry, entry) for entry in plan.reference]


def mispaired(plan: Plan) -> list[Embedded]:
    """The mixes of the reference, each with the real bass of another song."""
    return [_real_pair(plan, *pair) for pair in mispairs(plan.reference, plan.clips.seed)]


def of_source(plan: Plan, source: Source) -> list[Embedded]:
    """All embeddings of a source that the plan's metrics take."""
    pairs = source_pairs(plan, source) if _needs_pairs(plan) else []
    return [*(source_basses(plan, source) if _needs_basses(plan) else []), *pairs]


def of_reference(plan: Plan) -> list[Embedded]:
    """All embeddings of the reference that the plan's metrics take."""
    pairs = [*real_pairs(plan), *mispaired(plan)] if _needs_pairs(plan) else []
    return [*(real_basses(plan) if _needs_basses(plan) else []), *pairs]


def _real_pair(plan: Plan, mix: ClipEntry, bass: ClipEntry) -> Embedded:
    def together() -> np.ndarray:
        below = mix.load().mix
        return accompanied(below, fit_length(bass.load().bass, below.shape[1]))

    return Embedded(content_hash("real pair", mix.key, bass.key), plan.pair_embedder, together)


def _finite(bass: np.ndarray) -> np.ndarray:
    # A broken clip counts as silence in sets: left out, it would do a system good.
    return bass if np.isfinite(bass).all() else np.zeros_like(bass)


def _needs_pairs(plan: Plan) -> bool:
    return any(metric.pairs for metric in plan.set_metrics)


def _needs_basses(plan: Plan) -> bool:
    return any(not metric.pairs for metric in plan.set_metrics)


def _bar(what: str, total: int, share: Share) -> "tqdm[NoReturn]":
    return tqdm(total=total, desc=what, unit="clip", disable=share.process > 0, leave=False)


def _hash(protocol: dict[str, Any]) -> str:
    return content_hash(canonical(protocol))[:8]


def _described(entries: Sequence[ClipEntry]) -> str:
    return f"{len(entries)} clips, {content_hash(*(entry.key for entry in entries))[:8]}"
