"""What everything costs on this machine: the saved benchmarks as rows, a note with the targets, and a figure.

python -m experiments.throughput                 # runs the benchmarks first
python -m experiments.throughput bench.json      # of `pytest --benchmark-only --benchmark-json bench.json`, or several
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro

from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.files import parse_json, write_text
from bassbench.results.table import markdown
from experiments.studies import output_folder, refuse_other_pages
from experiments.throughput_figure import draw
from experiments.throughput_targets import targets

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    with exit_on_bad_input():
        for path in run(tyro.cli(Options, args=arguments, description=__doc__)):
            print(path)


if __name__ == "__main__":
    main()
