"""From options to a finished run folder: what `bassbench score` and `bassbench run` have in common."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from accelerate import PartialState
from tqdm import tqdm

from bassbench.cache import cache_folder, content_hash
from bassbench.embedders.registry import DEFAULT_EMBEDDER, PAIR_EMBEDDER, protocol
from bassbench.errors import BadInputError, check_limits, unknown_name
from bassbench.files import write_text
from bassbench.metrics.metric import ClipMetric
from bassbench.metrics.probes import MATCH, Probe
from bassbench.metrics.progress import phase
from bassbench.metrics.registry import GATE, Measure, Metric, all_measures, chosen, clip_metrics
from bassbench.metrics.sets import MIN_SONGS, SetMetric
from bassbench.metrics.statistics import Interval
from bassbench.plugins import warn_once
from bassbench.results.ownership import alone_in
from bassbench.results.rows import Measurement, Row, RowStore, measured
from bassbench.suite.anchors import Codec, anchors
from bassbench.suite.clip_set import ClipSet, open_clip_set, parts
from bassbench.suite.run_folder import ROWS, TABLE, VALUES, ClipRow, ClipRowStore, RunConfig, start_run, write_values
from bassbench.suite.scoreboard import markdown_board, terminal_board
from bassbench.suite.shipped import AnchorClips, AnchorRows
from bassbench.suite.sources import STYLES, AnchorSource, ClipPlan, Source, SystemSource
from bassbench.suite.suite import (
    SECONDS,
    Plan,
    Share,
    clip_values,
    embed,
    embedded_sets,
    mean_over_songs,
    measure_clips,
    measurement,
    of_reference,
    of_source,
    partners,
    play_clips,
    set_value,
)
from bassbench.training.pretrained import find_device


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Options of every evaluation."""

    data: str = "test"
    """A split of the song bank (test, human, ...), a plug-in's name, or a folder of stems."""
    clips: int | None = None
    """How many clips to score, in the data's own order (default: 48, or half of them)."""
    reference_clips: int | None = None
    """How many real basses of other songs to compare sets with (default: 96, or what there is)."""
    metrics: str | None = None
    """Names separated by commas (default: all that `bassbench list` names)."""
    embedder: str = DEFAULT_EMBEDDER
    """What set metrics listen with; `bassbench list` names them."""
    pair_embedder: str = PAIR_EMBEDDER
    """What prompt adherence listens to mix and bass together with."""
    style: Annotated[str, tyro.conf.arg(metavar="|".join(STYLES))] = "none"
    """The style clip given to the system: none, the clip's own real bass, or that of another song."""
    seconds: float | None = None
    """Length of the clips of a folder of stems (default: 23.8)."""
    require_all: bool = False
    """Refuse data of which a track has to be left out (silent, damaged, no bass), instead of naming it."""
    seed: int = 0
    """Seed of the system, the anchors and the intervals."""
    device: str = "cpu"
    """Where embedders run: cpu, cuda, or auto."""
    output: Path | None = None
    """Run folder (default: runs/SYSTEM-DATA); the same command goes on where it was cut off."""


@dataclass(frozen=True)
class Candidate:
    """What is scored: its name and setting, how to make the source of its basses, and its codec if it has one."""

    name: str
    spec: str
    setting: dict[str, Any]
    source: Callable[[ClipPlan, Path], Source]
    outputs: str = ""
    codec: Codec | None = None
    codec_name: str = ""


def evaluate(options: Evaluation, candidate: Candidate, *, fresh: bool = False) -> tuple[Path, list[Row]]:
    """Score a candidate into its run folder; the folder and the summary rows (of the first process; else none).

    With `fresh` a system plays anew what an earlier run kept.

    Raises:
        BadInputError: the options, the data or the candidate cannot be used.
    """
    with contextlib.ExitStack() as held:
        return _evaluate(options, candidate, fresh, held)


def _evaluate(
    options: Evaluation, candidate: Candidate, fresh: bool, held: contextlib.ExitStack
) -> tuple[Path, list[Row]]:
    state = processes()
    share = Share(state.process_index, state.num_processes)
    plan = make_plan(options, playing=not candidate.outputs)
    folder = options.output or Path("runs") / f"{_slug(candidate.name)}-{_slug(plan.data)}"
    source = candidate.source(plan.clips, folder)
    if state.is_main_process:
        held.enter_context(alone_in(folder))
        start_run(folder, _config(options, candidate, plan))
        if isinstance(source, SystemSource):
            source.begin(fresh=fresh)
    state.wait_for_everyone()
    anchored = anchor_sources(candidate, plan.clips)
    store, cached = ClipRowStore(folder), AnchorClips(anchor_folder(plan), heals=True)
    known, known_anchors = RowStore(folder / ROWS), AnchorRows(cached.folder / ROWS, heals=True)
    is_first = state.is_main_process and not (folder / VALUES).exists()

    # The system's own numbers come first, those that take least before the others.
    play_clips(plan, source, store, share)
    measure_clips(plan, source, store, share)
    state.wait_for_everyone()
    if is_first:
        _show(summarise(plan, source, store, known, [GATE, *plan.clip_metrics]), source)
    if needs_sets(plan, source, known):
        embed(plan, of_source(plan, source), share, source.name)
        embed(plan, of_reference(plan), share, "real bass of the reference")
    state.wait_for_everyone()
    if is_first:
        _show(summarise(plan, source, store, known, plan.set_metrics), source)
    if isinstance(source, SystemSource):
        measure_clips(plan, source, store, share, probe=True)

    # Then what they are compared with; of the bank's splits most of it is shipped.
    for anchor in anchored:
        measure_clips(plan, anchor, cached, share)
        if needs_sets(plan, anchor, known_anchors):
            embed(plan, of_source(plan, anchor), share, anchor.name)
            embed(plan, of_reference(plan), share, "real bass of the reference")
    state.wait_for_everyone()
    if not state.is_main_process:
        return folder, []
    rows = summarise(plan, source, store, known)
    for anchor in anchored:
        rows += summarise(plan, anchor, cached, known_anchors)
    values = {candidate.name: _clip_rows(plan, source, store)}
    write_values(folder, values | {anchor.name: _clip_rows(plan, anchor, cached) for anchor in anchored})
    known.keep_only(rows)
    write_text(folder / TABLE, markdown_board(rows, candidate.name, all_measures()))
    return folder, rows


def anchor_sources(candidate: Candidate, clips: ClipPlan) -> list[AnchorSource]:
    """The ladder of anchors, with the candidate's codec if it has one."""
    return [
        AnchorSource(name, anchor, clips, candidate.codec_name if candidate.codec and "codec" in name else "")
        for name, anchor in anchors(candidate.codec).items()
    ]


def processes() -> PartialState:
    """This process among those that were launched together; they may wait a day for the slowest."""
    # Without a GPU it looks for other processes only if told that the CPU is meant.
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))


def make_plan(options: Evaluation, *, playing: bool) -> Plan:
    """Check the options and say what is to be measured.

    Raises:
        BadInputError: an option cannot be used.
    """
    check_limits(options)
    if options.style not in STYLES:
        raise unknown_name("style", options.style, STYLES)
    device = str(find_device(options.device))
    names = None if options.metrics is None else [name.strip() for name in options.metrics.split(",") if name.strip()]
    metrics, probes = _wanted(names, playing)
    if any(isinstance(metric, SetMetric) for metric in metrics):
        for embedder in (options.embedder, options.pair_embedder):
            protocol(embedder)  # an unknown embedder is refused before anything is rendered
    data: ClipSet = open_clip_set(options.data, options.seconds)
    if data.left_out:
        if options.require_all:
            raise BadInputError(f"{options.data}: {data.left_out}; mend the data or leave --require-all out")
        warn_once(f"{options.data}: {data.left_out}")
    divided = parts(data, options.clips, options.reference_clips)
    songs = min(len({clip.song for clip in side}) for side in (divided.evaluated, divided.reference))
    if songs < MIN_SONGS and any(isinstance(metric, SetMetric) for metric in metrics):
        said = f"sets of fewer than {MIN_SONGS} songs cannot be compared: {songs} scored or in the reference"
        if names is not None:
            raise BadInputError(f"{said}; change --clips or --reference-clips, or leave set metrics out")
        warn_once(f"{said}; set metrics are left out")
        metrics = [metric for metric in metrics if isinstance(metric, ClipMetric)]
    clips = ClipPlan(divided.evaluated, partners(divided.evaluated, options.seed), options.style, options.seed)
    embedders = options.embedder, options.pair_embedder
    return Plan(data.name, clips, divided.reference, tuple(metrics), probes, *embedders, device, left_out=data.left_out)


def summarise(
    plan: Plan, source: Source, store: ClipRowStore, known: RowStore, metrics: Sequence[Measure] | None = None
) -> list[Row]:
    """The summary rows of a source whose clips are all measured; those that `known` has are not measured again.

    `metrics` None: all of the plan's.
    """
    rows, count = store.read(), len(plan.clips.entries)
    setting = _setting(plan, source)
    before = {row.key: row for row in known.rows()}
    outputs = {source.key(index) for index in range(count)}
    seconds = sum(row.value for row in rows.values() if row.metric == SECONDS and row.output in outputs)
    sets = embedded_sets(plan, source)
    summary = []

    def found(wanted: Measurement, value: Callable[[], Interval], seconds: float | None = None) -> Row:
        if wanted.key not in before:
            began = time.perf_counter()
            interval = value()
            took = time.perf_counter() - began if seconds is None else seconds
            before[wanted.key] = measured(wanted, *_three(interval), seconds=took, device=plan.device)
            known.append(before[wanted.key])
        return replace(before[wanted.key], left_out=plan.left_out)

    chosen = list(_measures(plan).values()) if metrics is None else metrics
    for metric in tqdm(chosen, f"{source.name}: summing up", unit="metric", leave=False, delay=1):
        if isinstance(metric, SetMetric):
            wanted = measurement(plan, metric, source.name, setting, count)
            with phase(f"{source.name}: interval of {metric.name}"):
                summary.append(found(wanted, partial(set_value, metric, sets, plan.clips.seed)))
            continue
        if isinstance(metric, Probe) and not isinstance(source, SystemSource):
            continue
        values = clip_values(plan, source, rows, metric)
        if values is None:
            continue  # a metric that failed on a clip has been named already
        interval, defined = mean_over_songs(values, plan.clips.seed)
        wanted = measurement(plan, metric, source.name, setting, defined)
        summary.append(found(wanted, lambda interval=interval: interval, seconds if metric is GATE else 0.0))  # type: ignore[misc]
    return summary


def measurements(plan: Plan, source: Source) -> list[Measurement]:
    """What identifies the summary rows of a source's metrics of sets."""
    setting, count = _setting(plan, source), len(plan.clips.entries)
    return [measurement(plan, metric, source.name, setting, count) for metric in plan.set_metrics]


def needs_sets(plan: Plan, source: Source, known: RowStore) -> bool:
    """Whether a metric of sets is still to be measured of a source."""
    before = {row.key for row in known.rows()}
    return any(wanted.key not in before for wanted in measurements(plan, source))


def anchor_folder(plan: Plan) -> Path:
    """Where the anchors' rows on this data are kept: rows are told apart by their keys, folders only keep them small.

    Raises:
        BadInputError: the cache cannot be written.
    """
    return cache_folder("anchors", content_hash(plan.data, plan.clips.style, str(plan.clips.seed)))


def report_run(folder: Path, rows: list[Row], system: str) -> None:
    """Print the table of a run and where it is."""
    if not rows:
        return
    print(terminal_board(rows, system, all_measures()))
    print(f"\nrows, table and audio: {folder}")


def _show(rows: list[Row], source: Source) -> None:
    """Print what there is of the system's numbers, while the rest is on its way."""
    if rows:
        print(terminal_board(rows, source.name, all_measures()) + "\n", flush=True)


def _setting(plan: Plan, source: Source) -> dict[str, Any]:
    if isinstance(source, AnchorSource):
        return dict(source.setting)
    keys = (source.key(index) for index in range(len(plan.clips.entries)))
    return {**source.setting, "outputs": content_hash(*keys)[:8]}


def _measures(plan: Plan) -> dict[str, Measure]:
    return {metric.name: metric for metric in (GATE, *plan.metrics, *plan.probes)}


def _wanted(names: list[str] | None, playing: bool) -> tuple[list[Metric], tuple[Probe, ...]]:
    """Metrics and probes of these names (None: all that can be measured); the gate needs no asking."""
    measures = chosen(names, all_measures())
    metrics = [measure for measure in measures if isinstance(measure, ClipMetric | SetMetric)]
    probes = tuple(measure for measure in measures if isinstance(measure, Probe))
    if probes and not playing:
        if names is not None:
            raise BadInputError(f"'{probes[0].name}' needs a system that plays again: use bassbench run")
        probes = ()
    match = clip_metrics().get(MATCH)
    if match is not None and match not in metrics and any(probe.name.startswith("match drop") for probe in probes):
        metrics.append(match)
    return metrics, probes


def _clip_rows(plan: Plan, source: Source, store: ClipRowStore) -> list[ClipRow]:
    rows, wanted = store.read(), list[Measure]([GATE, *plan.clip_metrics])
    if isinstance(source, SystemSource):
        wanted += plan.probes
    return [row for metric in wanted for row in clip_values(plan, source, rows, metric) or []]


def _config(options: Evaluation, candidate: Candidate, plan: Plan) -> RunConfig:
    return RunConfig(
        system=candidate.name,
        spec=candidate.spec,
        setting=candidate.setting,
        data=options.data,
        seconds=options.seconds,
        data_name=plan.data,
        data_hash=content_hash(*(entry.key for entry in plan.clips.entries))[:8],
        clips=tuple(entry.name for entry in plan.clips.entries),
        reference=tuple(entry.name for entry in plan.reference),
        style=options.style,
        seed=options.seed,
        embedder=options.embedder,
        pair_embedder=options.pair_embedder,
        metrics=tuple(_measures(plan)),
        outputs=candidate.outputs,
    )


def _three(interval: Any) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name.strip())[:60] or "run"
