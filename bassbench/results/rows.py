"""A result is a row: what was measured, how, on what, and by which code; rows are appended so that a crash loses none.

A `Measurement` says what is to be measured; its `key` is the same whenever it is the same measurement, so a second
run finds the row of the first and computes nothing twice.
"""

import csv
import functools
import json
import math
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import append_lines, atomic_path, parse_json, read_lines

_VERSIONS_OF = ("bassbench", "numpy", "scipy", "torch", "librosa", "soxr", "midirenderer")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What identifies one number.

    `setting` tells systems of one name apart (steps, guidance, weights); `protocol` says how all of them were
    measured (embedder, reference set, windows): rows with different protocols are not comparable. Both hold JSON
    values only. `clips` counts the evaluated clips.
    """

    experiment: str
    system: str
    setting: dict[str, Any]
    metric: str
    clips: int
    seed: int
    protocol: dict[str, Any]

    @property
    def protocol_hash(self) -> str:
        """Eight hexadecimal digits that agree exactly when the protocols do."""
        return content_hash(canonical(self.protocol))[:8]

    @property
    def key(self) -> str:
        """Content hash of all of the above."""
        return content_hash(canonical({field.name: getattr(self, field.name) for field in fields(Measurement)}))


@dataclass(frozen=True, kw_only=True)
class Row(Measurement):
    """A measurement with its value, the ends of its 95 % confidence interval, and where it comes from.

    `value`, `low` and `high` may be NaN (undefined, or no interval). `seconds` is the time it took. `left_out` says
    which tracks of the data no number is of, and why.
    """

    value: float
    low: float
    high: float
    seconds: float
    device: str
    commit: str
    versions: dict[str, str]
    left_out: str = ""


def measured(
    measurement: Measurement, value: float, low: float, high: float, *, seconds: float, device: str = "cpu"
) -> Row:
    """The row of a measurement just made, stamped with the code and library versions at hand."""
    about: dict[str, Any] = {field.name: getattr(measurement, field.name) for field in fields(Measurement)}
    return Row(
        **about,
        value=float(value),
        low=float(low),
        high=float(high),
        seconds=round(seconds, 3),
        device=device,
        commit=code_commit(),
        versions=library_versions(),
    )


@dataclass(frozen=True)
class RowStore:
    """Rows in a JSONL file that is only ever appended to, one whole line at a time."""

    path: Path
    heals: bool = False
    """Pass over what is not a row, so that it is measured again: for rows that are kept in the cache."""

    def rows(self) -> list[Row]:
        """Every row in the order written, the first of each key; none if the file does not exist yet.

        A last line that a crash cut short is passed over.

        Raises:
            BadInputError: the file cannot be read or, unless the store heals, a line before the last is not a row.
        """
        rows: dict[str, Row] = {}
        for where, line in read_lines(self.path):
            try:
                row = parse_summary(line, where)
            except BadInputError:
                if self.heals:
                    continue
                raise
            rows.setdefault(row.key, row)
        return list(rows.values())

    def find(self, measurement: Measurement) -> Row | None:
        """The row of this measurement, or None if it has not been made."""
        key = measurement.key
        return next((row for row in self.rows() if row.key == key), None)

    def append(self, row: Row) -> None:
        """Append one row, on disk when this returns; what a crash left of an unfinished line is cut off first.

        Raises:
            BadInputError: the file cannot be written.
        """
        append_lines(self.path, [plain_summary(row)])

    def keep_only(self, rows: Iterable[Row]) -> None:
        """Make the file hold these rows in this order and no others, whole or not at all.

        Raises:
            BadInputError: the file cannot be written.
        """
        lines = [json.dumps(plain_summary(row), sort_keys=True, allow_nan=False) + "\n" for row in rows]
        try:
            with atomic_path(self.path) as temporary:
                temporary.write_text("".join(lines))
        except OSError as error:
            raise BadInputError(f"{self.path}: cannot write ({error.strerror})") from None

    def write_csv(self, path: Path) -> None:
        """Write the rows as a spreadsheet, settings and protocol as JSON, whole or not at all.

        Raises:
            BadInputError: the file cannot be written.
        """
        write_csv(self.rows(), path)


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV with a column per field and the protocol's hash, whole or not at all.

    Raises:
        BadInputError: the file cannot be written.
    """
    names = [field.name for field in fields(Row)]
    try:
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "protocol_hash"])
            for row in rows:
                values = [getattr(row, name) for name in names]
                cells = [json.dumps(v, sort_keys=True) if isinstance(v, dict) else v for v in values]
                writer.writerow([*cells, row.protocol_hash])
    except OSError as error:
        raise BadInputError(f"{path}: cannot write ({error.strerror})") from None


@functools.cache
def code_commit() -> str:
    """The commit of the code that runs, "-dirty" if it was changed since; without git the package's version."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        tracked = _git(folder, "ls-files", "--", Path(__file__).name)
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py")
    except (OSError, subprocess.SubprocessError):
        tracked = ""
    if not tracked:  # installed inside the repository of something else, or not from a repository at all
        return "v" + metadata.version("bassbench")
    return commit + ("-dirty" if changed else "")


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of this package, Python, and the libraries that a number can depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _VERSIONS_OF}}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()


def canonical(value: Any) -> str:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def plain_summary(row: Row) -> dict[str, Any]:
    """A row as JSON values, which have no NaN: an undefined number is null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(row).items()}


def parse_summary(line: bytes, where: str) -> Row:
    """The row in a line of JSON.

    Raises:
        BadInputError: the line holds none; `where` names it.
    """
    try:
        values = parse_json(line)
        numbers = {name: float("nan") if values[name] is None else values[name] for name in ("value", "low", "high")}
        return Row(**{**values, **numbers})
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{where}: not a result row ({error}); move the file away and measure again") from None
