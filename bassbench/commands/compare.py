"""`bassbench compare A B`: which of two scored systems is better, metric by metric, on the clips that both have."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from tqdm import tqdm

from bassbench.errors import BadInputError, check_limits
from bassbench.files import write_text
from bassbench.metrics.fad import FewWindowsWarning
from bassbench.metrics.progress import phase
from bassbench.metrics.registry import all_measures, chosen
from bassbench.metrics.sets import SET_METRICS, SetMetric
from bassbench.metrics.statistics import holm, paired_difference
from bassbench.results.rows import Row, RowStore
from bassbench.results.table import interval_text, markdown, protocol_differences, terminal
from bassbench.suite.anchors import REAL
from bassbench.suite.clip_set import ClipEntry, open_clip_set
from bassbench.suite.run_folder import ROWS, ClipRow, RunConfig, read_config, read_values
from bassbench.suite.scoreboard import SIGNS
from bassbench.suite.sources import ClipPlan, FolderSource, KeptSource, Source
from bassbench.suite.suite import Plan, embedded_sets, partners


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare two run folders by paired tests; refuses to where they were not measured alike.

    Each metric's difference (first minus second) comes with a 95 % bootstrap interval over songs and, for metrics of
    clips, a permutation p-value adjusted for the number of metrics (Holm). For metrics that are best as the real
    bass has them, what is compared is the distance from the real bass's value.
    """

    first: tyro.conf.Positional[Path]
    """Run folder of one system."""
    second: tyro.conf.Positional[Path]
    """Run folder of the other."""
    metrics: str | None = None
    """Names separated by commas (default: all that both have)."""
    seed: int = 0
    """Seed of the tests."""
    output: Path | None = None
    """Also write the table to this Markdown file."""

    def run(self) -> None:
        """Print the table.

        Raises:
            BadInputError: not two finished runs, measured differently, or on fewer than two songs in common.
        """
        check_limits(self)
        folders = (self.first, self.second)
        frame, note = compared(folders, _names(self.metrics), self.seed)
        print(terminal(frame))
        print("\n" + note)
        if self.output is not None:
            write_text(self.output, markdown(frame) + "\n" + note + "\n")


@dataclasses.dataclass(frozen=True)
class _Run:
    folder: Path
    config: RunConfig
    rows: dict[str, Row]
    values: dict[str, list[ClipRow]]

    def by_clip(self, metric: str, system: str = "") -> dict[str, ClipRow]:
        return {row.clip: row for row in self.values.get(system or self.config.system, ()) if row.metric == metric}


def compared(folders: tuple[Path, Path], metrics: Sequence[str] | None, seed: int) -> tuple[pd.DataFrame, str]:
    """The table of differences, and what to know about it.

    Raises:
        BadInputError: as `Compare.run`.
    """
    one, other = (_opened(folder) for folder in folders)
    shared = [name for name in one.rows if name in other.rows and (metrics is None or name.lower() in metrics)]
    if not shared:
        raise BadInputError(f"{folders[0]} and {folders[1]}: no such metric was measured in both; score one again")
    _require_alike(one, other, shared)
    names = set(one.config.clips) & set(other.config.clips)
    clips = [name for name in one.config.clips if name in names]
    if len(clips) < 2:
        raise BadInputError(f"{folders[0]} and {folders[1]} have {len(clips)} clips in common, at least 2 are needed")
    measures = all_measures()
    lines, tests = [], []
    for name in tqdm(shared, "comparing", unit="metric", leave=False, delay=1):
        compare = _set_line if name in SET_METRICS else _clip_line
        with phase(f"interval of {name}"):
            line, p = compare(one, other, name, clips, seed)
        known = measures.get(name)
        about = {"unit": known.unit, "better": SIGNS[known.direction]} if known else {"unit": "", "better": ""}
        lines.append({"metric": name, **about, **line})
        tests.append(p)
    adjusted = holm(tests)
    for line, p in zip(lines, adjusted, strict=True):
        line["p (Holm)"] = "" if np.isnan(p) else f"{p:.4f}"
    frame = pd.DataFrame(lines).fillna("")
    labels = _labels(one, other)
    frame = frame.rename(columns={"first": labels[0], "second": labels[1]})
    note = (
        f"{len(clips)} clips in common. difference: {labels[0]} minus {labels[1]}, 95 % interval by bootstrap over "
        "songs; p: sign-flip permutation, adjusted for the number of metrics of clips."
    )
    return frame, note


def _opened(folder: Path) -> _Run:
    config = read_config(folder)
    values = read_values(folder)
    rows = {row.metric: row for row in RowStore(folder / ROWS).rows() if row.system == config.system}
    return _Run(folder, config, rows, values)


def _require_alike(one: _Run, other: _Run, metrics: Sequence[str]) -> None:
    if one.config.data_name != other.config.data_name:
        raise BadInputError(
            f"{one.folder} and {other.folder} cannot be compared: data {one.config.data_name} against "
            f"{other.config.data_name}; score both on the same data"
        )
    for name in metrics:
        protocols = [{k: v for k, v in run.rows[name].protocol.items() if k != "clips"} for run in (one, other)]
        if protocols[0] != protocols[1]:
            raise BadInputError(
                f"{name} of {one.folder} and {other.folder} cannot be compared, it was measured differently: "
                f"{protocol_differences(*protocols)}; score one again, or name other --metrics"
            )


def _clip_line(one: _Run, other: _Run, metric: str, clips: Sequence[str], seed: int) -> tuple[dict[str, str], float]:
    ours, theirs = one.by_clip(metric), other.by_clip(metric)
    known = all_measures().get(metric)
    real = one.by_clip(metric, REAL) if known is not None and known.direction == "real" else {}
    songs: dict[str, list[tuple[float, float]]] = {}
    for clip in clips:
        if clip not in ours or clip not in theirs:
            continue
        pair = np.array([ours[clip].value, theirs[clip].value])
        if real:
            pair = np.abs(pair - (real[clip].value if clip in real else np.nan))
        if np.isfinite(pair).all():
            songs.setdefault(ours[clip].song, []).append((float(pair[0]), float(pair[1])))
    if not songs:
        return {"first": "undefined", "second": "undefined", "difference": "undefined", "songs": "0"}, float("nan")
    means = np.array([np.mean(pairs, axis=0) for pairs in songs.values()])
    result = paired_difference(means[:, 0], means[:, 1], generator=np.random.default_rng(seed))
    nan = float("nan")
    shown = [interval_text(float(value), nan, nan) for value in means.mean(axis=0)]
    difference = interval_text(result.value, result.low, result.high)
    return {"first": shown[0], "second": shown[1], "difference": difference, "songs": str(len(means))}, result.p


def _set_line(one: _Run, other: _Run, name: str, clips: Sequence[str], seed: int) -> tuple[dict[str, str], float]:
    metric, nan = SET_METRICS[name], float("nan")
    rows = (one.rows[name], other.rows[name])
    whole = one.config.clips == other.config.clips
    line = {"first": interval_text(rows[0].value, nan, nan), "second": interval_text(rows[1].value, nan, nan)}
    if metric.difference is None:
        return {**line, "difference": "no paired test"}, nan
    plans = [_plan(run, metric, clips) for run in (one, other)]
    sets = [embedded_sets(plan, _source(run, plan.clips)) for run, plan in zip((one, other), plans, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)  # said when the runs were scored
        result = metric.difference(sets[0].reference, sets[0].bass, sets[1].bass, np.random.default_rng(seed))
    if not whole:
        line = {"first": "", "second": ""}  # these were measured on other clips
    songs = len({entry.song for entry in plans[0].clips.entries})
    return {**line, "difference": interval_text(result.value, result.low, result.high), "songs": str(songs)}, nan


def _plan(run: _Run, metric: SetMetric, names: Sequence[str]) -> Plan:
    config = run.config
    data = open_clip_set(config.data, config.seconds)
    known = {entry.name: entry for entry in data.clips}
    missing = [name for name in (*config.clips, *config.reference) if name not in known]
    if missing:
        raise BadInputError(f"data '{config.data}' no longer has the clip {missing[0]} of {run.folder}; score again")
    entries = tuple(known[name] for name in names)
    reference: tuple[ClipEntry, ...] = tuple(known[name] for name in config.reference)
    clips = ClipPlan(entries, partners(entries, config.seed), config.style, config.seed)
    return Plan(data.name, clips, reference, (metric,), (), config.embedder, config.pair_embedder, "cpu")


def _source(run: _Run, clips: ClipPlan) -> Source:
    config = run.config
    if config.outputs:
        return FolderSource(config.system, Path(config.outputs), clips)
    return KeptSource(config.system, config.setting, clips, run.folder)


def _labels(one: _Run, other: _Run) -> tuple[str, str]:
    names = (one.config.system, other.config.system)
    return names if names[0] != names[1] else (str(one.folder), str(other.folder))


def _names(metrics: str | None) -> list[str] | None:
    if metrics is None:
        return None
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    return [measure.name.lower() for measure in chosen(names, all_measures())]
