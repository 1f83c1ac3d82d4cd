"""What everything costs on this machine: the saved benchmarks as rows, a note with the targets, and a figure.

python -m experiments.throughput                 # runs the benchmarks first
python -m experiments.throughput bench.json      # of `pytest --benchmark-only --benchmark-json bench.json`, or several
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import seaborn as sns
import tyro
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.files import parse_json, write_text
from bassbench.results.table import markdown
from experiments.figures import headline, panels, plain_numbers
from experiments.studies import output_folder, refuse_other_pages

NAME = "throughput"
COLUMNS = (
    *("group", "system", "case", "batch", "frames", "clips", "dim", "windows", "dtype", "device", "threads"),
    *("seconds", "low", "high", "rounds", "cpu_seconds", "load", "audio_seconds", "real_time_factor"),
    *("gflop", "gflops", "peak_gflops", "share_of_peak", "memory_mb", "weights"),
)
_SHOWN = {
    "system": "system",
    "case": "what it does",
    "batch": "batch",
    "clips": "clips",
    "dtype": "dtype",
    "audio_seconds": "audio, s",
    "seconds": "seconds",
    "cpu_seconds": "CPU seconds",
    "real_time_factor": "x real time",
    "gflops": "GFLOP/s",
    "share_of_peak": "of peak",
    "memory_mb": "memory, MB",
}


@dataclass(frozen=True)
class Options:
    """From files of pytest-benchmark to throughput.csv, .md and .png."""

    benchmarks: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """What `--benchmark-json` saved, of one machine; without it the benchmarks of this checkout are run, which takes
    minutes."""
    output: Path = Path("results")
    name: str = NAME
    """Of the three files, such as throughput_h100 for those of another machine."""


def run(options: Options) -> list[Path]:
    """Write the table, the page and, where there is something to draw, the figure; return their paths.

    Raises:
        BadInputError: a file is missing, or not one of ours, they are of several machines, or nothing can be written.
    """
    refuse_other_pages(output_folder(options.output) / f"{options.name}.md", sign=_SIGN)
    saved = together([read(path) for path in options.benchmarks]) if options.benchmarks else measured()
    frame = rows(saved)
    table, page, figure = (options.output / f"{options.name}.{kind}" for kind in ("csv", "md", "png"))
    drawn = draw(figure, frame)
    write_text(table, frame.to_csv(index=False, float_format="%.6g"))
    write_text(page, note(saved, frame, options.name, figure=drawn))
    return [table, page, *([figure] if drawn else [])]


def measured() -> dict[str, Any]:
    """The benchmarks, run in a process of their own.

    Raises:
        BadInputError: they are not at hand (the package does not carry them), or one failed.
    """
    benchmarks = Path(__file__).parent.parent / "tests" / "benchmarks"
    if not benchmarks.is_dir():
        raise BadInputError("the benchmarks are in the repository, not in the package: give a file that they saved")
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "benchmarks.json"
        command = [sys.executable, "-m", "pytest", "--benchmark-only", f"--benchmark-json={saved}", str(benchmarks)]
        if subprocess.run(command, cwd=benchmarks.parent.parent, check=False).returncode:
            raise BadInputError("a benchmark failed; see above")
        return read(saved)


def read(path: Path) -> dict[str, Any]:
    """The content of a file of pytest-benchmark.

    Raises:
        BadInputError: it is missing, or not one of ours.
    """
    try:
        saved = parse_json(path.read_text())
        ours = [entry for entry in saved["benchmarks"] if "case" in entry["extra_info"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path}: not a file of `pytest --benchmark-only --benchmark-json` ({type(error).__name__}: {error})"
        ) from None
    if not ours:
        raise BadInputError(f"{path}: holds no benchmark of this project")
    return {**saved, "benchmarks": ours}


def together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of several files as that of one.

    Raises:
        BadInputError: they were not saved on one machine.
    """
    machines = {str(part.get("machine_info", {}).get("node")) for part in parts}
    if len(machines) > 1:
        raise BadInputError(f"the files are of several machines ({', '.join(sorted(machines))}): give those of one")
    return {**parts[0], "benchmarks": [entry for part in parts for entry in part["benchmarks"]]}


def rows(saved: dict[str, Any]) -> pd.DataFrame:
    """One row a benchmark with the columns `COLUMNS`: median seconds a call, with its quartiles as low and high."""
    table = []
    for entry in saved["benchmarks"]:
        stats, kept = entry["stats"], entry["extra_info"]
        times = {"seconds": stats["median"], "low": stats["q1"], "high": stats["q3"], "rounds": stats["rounds"]}
        table.append({"group": entry["group"], **{name: kept.get(name) for name in COLUMNS[1:]}, **times})
    return pd.DataFrame(table, columns=list(COLUMNS))


def hardware(saved: dict[str, Any], frame: pd.DataFrame) -> str:
    """The machine in words: processor, threads used, GPU if any, matrix product peaks, versions."""
    machine = saved.get("machine_info", {})
    cpu = machine.get("cpu", {})
    peaks = frame.dropna(subset=["peak_gflops"]).groupby("dtype")["peak_gflops"].max()
    threads = frame["threads"].max()
    parts = [
        f"{cpu.get('brand_raw', machine.get('processor', 'unknown processor'))}, {cpu.get('count', '?')} cores",
        f"torch with {threads:g} thread{'' if threads == 1 else 's'}",
        *(name for name in sorted(set(frame["device"].dropna())) if name != "cpu"),
        "matrix products at most " + ", ".join(f"{peak:.0f} GFLOP/s in {dtype}" for dtype, peak in peaks.items()),
        f"Python {machine.get('python_version', '?')}",
    ]
    return "; ".join(parts)


_SIGN = "A call's median seconds"


def note(saved: dict[str, Any], frame: pd.DataFrame, name: str = NAME, *, figure: bool = True) -> str:
    """The Markdown page: hardware, figure if there is one, targets, a table for each group; `name`: of its files."""
    which = name.removeprefix(NAME).strip("_").replace("_", ", ")
    date, commit = saved.get("datetime", "")[:10], saved.get("commit_info", {})
    version = str(commit.get("id", ""))[:8] + (" and changes to it" if commit.get("dirty") else "")
    lines = [
        "# Throughput" + (f": {which}" if which else ""),
        "",
        f"Measured {date} at commit {version}: {hardware(saved, frame)}.",
        "",
        f"{_SIGN}, and the least CPU seconds of all its threads, which other programs disturb less;",
        "audio is stereo at 44.1 kHz; memory is what a call takes at its peak beyond what was held before it.",
        "Operations are those of matrix products and convolutions, and their share is of the largest matrix product's",
        "rate in the same run. Peers' codecs have random weights, which cost what trained ones cost.",
        *busy(frame),
        "",
        *([f"![What things cost]({name}.png)", ""] if figure else []),
        "## Targets",
        "",
        markdown(targets(frame, busy=bool(busy(frame)))),
    ]
    for group, part in frame.groupby("group", sort=False):
        lines += [f"## {str(group)[0].upper()}{str(group)[1:]}", "", markdown(_table(part)), ""]
    return "\n".join(lines).rstrip() + "\n"


def busy(frame: pd.DataFrame) -> list[str]:
    """A warning if other programs kept the machine from measuring well."""
    load, threads = frame["load"].median(), frame["threads"].max()
    if not load > threads + 1:
        return []
    return ["", f"**The machine was not quiet**: its load average was {load:.1f} (median), where {threads:g} was due."]


def _table(part: pd.DataFrame) -> pd.DataFrame:
    kept = [name for name in _SHOWN if part[name].notna().any()]
    shown = part[kept].rename(columns=_SHOWN)
    for name in shown.columns:
        shown[name] = [_text(value, name) for value in shown[name]]
    return shown


def _text(value: object, name: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    return f"{100 * number:.0f} %" if name == "of peak" else f"{number:.3g}" if number < 1000 else f"{number:.0f}"


Figure = Callable[[pd.DataFrame], float]
"""From all rows to what is measured; NaN where rows are missing."""


@dataclass(frozen=True)
class Target:
    """At least `least`, or at most where `at_most`; `cause` is said where it is missed; `gpu`: of its rows alone."""

    name: str
    least: float
    figure: Figure
    cause: str
    at_most: bool = False
    gpu: bool = False

    def met(self, value: float) -> bool:
        """Whether a measured value reaches it."""
        return value <= self.least if self.at_most else value >= self.least


def seconds(frame: pd.DataFrame, group: str, **values: object) -> float:
    """The seconds of the one row of a group with these values; NaN if there is none, the least of several."""
    part = _rows(frame, group, **values)
    return float(part["seconds"].min()) if len(part) else np.nan


def codec_ratio(direction: str) -> Figure:
    """How many times faster the slower of our autoencoders is than the fastest peer."""

    def figure(frame: pd.DataFrame) -> float:
        part = _rows(frame, "codecs side by side", case=direction)
        ours = part["system"].astype(str).str.startswith("bassbench")
        return float(part["seconds"][~ours].min() / part["seconds"][ours].max())

    return figure


def fad_ratio(frame: pd.DataFrame) -> float:
    """Seconds of fadtk from files to a distance, over ours."""
    group = "FAD side by side"
    return seconds(frame, group, system="fadtk") / seconds(frame, group, system="bassbench")


def distance_ratio(frame: pd.DataFrame) -> float:
    """The least ratio of fadtk's to our seconds at 1024 dimensions or more."""
    part = _rows(frame, "Fréchet distance")
    large = sorted(part["dim"][(part["system"] == "fadtk") & (part["dim"] >= 1024)])
    ratios = [
        seconds(part, "Fréchet distance", dim=dim, system="fadtk")
        / seconds(part, "Fréchet distance", dim=dim, system="bassbench")
        for dim in large
    ]
    return min(ratios, default=np.nan)


def generation(case: str, frames: int = 256) -> Figure:
    """Times real time of one file of 23.8 s."""
    return real_time("generation, wav to wav", case=case, frames=frames)


def real_time(group: str, **values: object) -> Figure:
    """The most times real time of the rows of a group with these values."""
    return lambda frame: float(_rows(frame, group, **values)["real_time_factor"].max())


def training_share(frame: pd.DataFrame) -> float:
    """The largest share, in percent, of the peak of matrix products that training in bfloat16 reaches."""
    return 100 * float(_rows(frame, "training step", dtype="bfloat16")["share_of_peak"].max())


def growth(column: str) -> Figure:
    """How a column grows with the clips of a FAD: the slope of logarithms, 1 where proportional, 0 where flat."""

    def figure(frame: pd.DataFrame) -> float:
        part = _rows(frame, "FAD by clips").dropna(subset=[column, "clips"])
        if part["clips"].nunique() < 2:
            return np.nan
        return float(
            np.polyfit(np.log(part["clips"]), np.log(part[column].clip(lower=1.0 if column != "seconds" else 0)), 1)[0]
        )

    return figure


_NETWORK = (
    "both sides spend nearly all their time in the same network and on the same threads; what this project saves is in "
    "reading, statistics and the distance"
)
_LAUNCHES = (
    "a step of the small preset takes about as long for 1 clip as for 64, so launching its kernels takes the time; why "
    "the paper preset's is slow has not been looked into"
)
_UNKNOWN = "the cause has not been looked into"
_BATCHED = partial(real_time, "generation, arrays", case="8 evaluations")
TARGETS = (
    Target("codec, encode: times the fastest peer", 5, codec_ratio("encode"), "the peers' encoders are small enough"),
    Target("codec, decode: times the fastest peer", 5, codec_ratio("decode"), "the phase is integrated bin by bin"),
    Target("FAD from files: times fadtk", 20, fad_ratio, _NETWORK),
    Target("Fréchet distance, d >= 1024: times fadtk", 10, distance_ratio, "two factorisations bound both"),
    Target(
        "generation, 16 evaluations: times real time",
        50,
        generation("16 evaluations"),
        "the U-Net's evaluations on short sequences stay below the peak of matrix products",
    ),
    Target(
        "generation, 64 steps with guidance: times real time",
        20,
        generation("64 steps, guided"),
        "128 sequences through the U-Net; its evaluations stay below the peak of matrix products",
    ),
    Target(
        "the same with the U-Net compiled: times real time",
        20,
        generation("64 steps, guided, compiled"),
        "128 sequences through the U-Net; its evaluations stay below the peak of matrix products",
    ),
    Target(
        "FAD: exponent of time over clips", 1.1, growth("seconds"), "few clips, or a machine that was not quiet", True
    ),
    Target("FAD: exponent of memory over clips", 0.2, growth("memory_mb"), "memory grows with clips", True),
    Target("GPU: generation, 8 evaluations: times real time", 3_000, _BATCHED(batch=1), _UNKNOWN, gpu=True),
    Target("GPU: the same, a batch of 64", 20_000, _BATCHED(batch=64), _UNKNOWN, gpu=True),
    Target("GPU: training, % of the bfloat16 peak", 40, training_share, _LAUNCHES, gpu=True),
)


def targets(frame: pd.DataFrame, *, busy: bool = False) -> pd.DataFrame:
    """A line for each target: what was aimed at, what was measured, and whether that is enough.

    Where other programs kept the machine `busy`, that is said before any other cause.
    """
    without_gpu = bool((frame["device"] == "cpu").all())
    missed = "missed, on a busy machine: " if busy else "missed: "
    lines = []
    for target in TARGETS:
        value = target.figure(frame[frame["device"] != "cpu"] if target.gpu else frame)
        if np.isnan(value):
            verdict = "not measured: takes a GPU" if target.gpu and without_gpu else "not measured"
        else:
            verdict = "met" if target.met(value) else missed + target.cause
        wanted = f"at most {target.least:g}" if target.at_most else f"at least {target.least:g}"
        measured = "" if np.isnan(value) else f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
        lines.append({"what it is": target.name, "target": wanted, "measured": measured, "verdict": verdict})
    return pd.DataFrame(lines)


def _rows(frame: pd.DataFrame, group: str, **values: object) -> pd.DataFrame:
    part = frame[frame["group"] == group]
    for name, value in values.items():
        part = part[part[name] == value]
    return part


SECONDS_PER_FRAME = 4096 / 44_100


def draw(path: Path, frame: pd.DataFrame) -> bool:
    """A panel for all that was measured of length, batch, training, clips and codecs, as png; False if nothing was.

    Raises:
        BadInputError: the file cannot be written.
    """
    length = _labelled(
        frame, {"autoencoder by length": "{case}", "generation, wav to wav": "generation, {case}"}, "frames"
    )
    length = length.assign(x=length["frames"] * SECONDS_PER_FRAME)
    sampled = _by_batch(frame, {"U-Net evaluation": "U-Net, {case}, {dtype}", "sampling": "{case}, {dtype}"})
    sampled = sampled[~sampled["case"].astype(str).str.contains("plain|compiled")]
    trained = _by_batch(frame, {"training step": "{case}, {dtype}"})
    scored = _labelled(frame, {"FAD by clips": "FAD, wav to distance", "match by clips": "match, {case}"}, "clips")
    scored = scored.assign(x=scored["clips"])

    def of_clips(axes: Axes, part: pd.DataFrame) -> None:
        _lines(axes, part, "Clips", "Time, s")
        _memory(axes, part)

    per_clip = partial(_lines, x_label="Clips in a batch", y_label="Time per clip, s")
    all_panels: list[tuple[str, pd.DataFrame, Callable[[Axes, pd.DataFrame], None]]] = [
        ("Time by length", length, partial(_lines, x_label="Length of audio, s", y_label="Time, s")),
        ("Time per clip by batch", sampled, per_clip),
        ("Time of a training step per clip, by batch", trained, per_clip),
        ("Time and memory by clips", scored, of_clips),
        ("Codecs side by side", frame[frame["group"] == "codecs side by side"], _bars),
    ]
    shown = [panel for panel in all_panels if len(panel[1])]
    if not shown:
        return False
    rows, columns = -(-len(shown) // 2), min(len(shown), 2)
    with panels(path, (5.0 * columns, 3.8 * rows)) as figure:
        places = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, (title, part, fill) in zip(places, shown, strict=False):
            fill(axes, part)
            headline(axes, title)
        for axes in places[len(shown) :]:
            axes.set_axis_off()
    return True


def _by_batch(frame: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
    """Rows of what was measured at several batch sizes, with the seconds of a clip."""
    part = _labelled(frame, groups, "batch")
    part = part[part.groupby("line")["batch"].transform("nunique") > 1]
    return part.assign(x=part["batch"], seconds=part["seconds"] / part["batch"])


def _labelled(frame: pd.DataFrame, groups: dict[str, str], across: str) -> pd.DataFrame:
    part = frame[frame["group"].isin(groups) & frame[across].notna()].copy()
    part["line"] = [groups[row["group"]].format(**row) for row in part.to_dict("records")]
    return part


def _lines(axes: Axes, part: pd.DataFrame, x_label: str, y_label: str) -> None:
    axes.set(xlabel=x_label, ylabel=y_label)
    names = list(dict.fromkeys(part["line"]))
    for name, colour in zip(names, sns.color_palette("colorblind", len(names)), strict=True):
        rows = part[part["line"] == name].sort_values("x")
        axes.plot(rows["x"], rows["seconds"], marker="o", markersize=4, label=name, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        plain_numbers(axis)
    axes.legend(loc="best", fontsize=7)


def _memory(axes: Axes, part: pd.DataFrame) -> None:
    rows = part[(part["group"] == "FAD by clips") & part["memory_mb"].notna()].sort_values("clips")
    if rows.empty:
        return
    other = axes.twinx()
    other.plot(rows["clips"], rows["memory_mb"], color="0.45", linestyle=(0, (4, 2)), marker="s", markersize=3)
    other.set(ylabel="Memory of FAD at its peak, MB (dashed)", ylim=(0, max(1.6 * rows["memory_mb"].max(), 1)))
    other.grid(visible=False)


def _bars(axes: Axes, part: pd.DataFrame) -> None:
    axes.set(xlabel="Times real time (stereo)")
    systems = list(dict.fromkeys(part["system"]))
    for offset, (direction, colour) in enumerate(
        zip(("encode", "decode"), sns.color_palette("colorblind", 2), strict=True)
    ):
        rows = part[part["case"] == direction].set_index("system")["real_time_factor"]
        values = [rows.get(system, np.nan) for system in systems]
        places = np.arange(len(systems)) + 0.36 * offset - 0.18
        axes.barh(places, values, height=0.34, color=colour, label=direction)
        _say(axes, places, values)
    axes.set_yticks(range(len(systems)), systems)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 2)
    plain_numbers(axes.xaxis)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.legend(loc="lower right")


def _say(axes: Axes, places: Sequence[float] | np.ndarray, values: Sequence[float]) -> None:
    for place, value in zip(places, values, strict=True):
        if np.isfinite(value):
            said = f"{float(f'{value:.3g}'):g}"
            axes.annotate(said, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    with exit_on_bad_input():
        for path in run(tyro.cli(Options, args=arguments, description=__doc__)):
            print(path)


if __name__ == "__main__":
    main()
