"""What a run leaves behind: `config.json`, clip rows, the audio, and the summary `rows.jsonl` with its table.

config.json        what was scored, on which data, by which options
clips.N.jsonl      one line a clip and metric, appended by process N as soon as it is measured
values.jsonl       the clip rows that rows.jsonl sums up, of the system and of every anchor
audio/CLIP.wav     what a system played (`bassbench run`), as floats
rows.jsonl         one row a metric for the system and for each anchor; table.md shows them

The key of a clip row says what was measured, how and on which audio, so rows may come in any order, from any number of
processes, and twice; and audio that changed is never given the numbers of what it was.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bassbench.embedders.registry import PAIR_EMBEDDER
from bassbench.errors import BadInputError
from bassbench.files import append_lines, atomic_path, parse_json, read_lines, write_text


class ClipKey(NamedTuple):
    """What tells two clip rows apart; `protocol` is a hash of how it was measured, `output` one of the audio."""

    clip: str
    metric: str
    version: int
    protocol: str
    output: str


@dataclasses.dataclass(frozen=True)
class ClipRow:
    """One metric's value of one clip, NaN where it is undefined; `note` says more where there is more to say."""

    clip: str
    song: str
    metric: str
    version: int
    protocol: str
    output: str
    value: float
    note: str = ""

    @property
    def key(self) -> ClipKey:
        """What identifies it."""
        return ClipKey(self.clip, self.metric, self.version, self.protocol, self.output)


@dataclasses.dataclass(frozen=True)
class ClipRowStore:
    """The clip rows in a folder, `clips.0.jsonl` written by the first process, `clips.1.jsonl` by the second, ..."""

    folder: Path
    heals: bool = False
    """Pass over what is not a row, so that it is measured again: for rows that are kept in the cache."""

    def read(self) -> dict[ClipKey, ClipRow]:
        """All rows by key, the first of each.

        Raises:
            BadInputError: a file cannot be read or, unless the store heals, holds what is not a row.
        """
        rows: dict[ClipKey, ClipRow] = {}
        for path in sorted(self.folder.glob("clips.*.jsonl")):
            for where, line in read_lines(path):
                try:
                    row, _ = parse_row(line, where)
                except BadInputError:
                    if self.heals:
                        continue
                    raise
                rows.setdefault(row.key, row)
        return rows

    def append(self, rows: Iterable[ClipRow], process: int) -> None:
        """Append rows, on disk when this returns.

        Raises:
            BadInputError: the file cannot be written.
        """
        append_lines(self.folder / f"clips.{process}.jsonl", map(as_line, rows))


def as_line(row: ClipRow) -> dict[str, Any]:
    """A row as JSON values: NaN is null."""
    return {**dataclasses.asdict(row), "value": row.value if math.isfinite(row.value) else None}


def parse_row(line: bytes, where: str) -> tuple[ClipRow, str]:
    """A row, and the system that the line says it is of ("" if it does not say).

    Raises:
        BadInputError: the line is no such thing; `where` names it.
    """
    try:
        values = parse_json(line)
        value, system = values["value"], values.pop("system", "")
        return ClipRow(**{**values, "value": float("nan") if value is None else float(value)}), system
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInputError(f"{where}: not a clip row ({error}); move the file away and measure again") from None


CONFIG, ROWS, VALUES, TABLE = "config.json", "rows.jsonl", "values.jsonl", "table.md"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What a run is of. `outputs` is the folder that was scored, "" for a system that played."""

    system: str
    spec: str
    setting: dict[str, Any]
    data: str
    seconds: float | None
    data_name: str
    data_hash: str
    clips: tuple[str, ...]
    reference: tuple[str, ...]
    style: str
    seed: int
    embedder: str
    metrics: tuple[str, ...]
    outputs: str = ""
    pair_embedder: str = PAIR_EMBEDDER

    @property
    def identity(self) -> dict[str, Any]:
        """What may not change when a run goes on: numbers of other systems or data are other numbers."""
        kept = ["system", "spec", "setting", "data", "seconds", "style", "seed", "outputs"]
        if self.style == "other":  # the other song that gives the style depends on the clips that there are
            kept.append("clips")
        return {name: getattr(self, name) for name in kept}


def start_run(folder: Path, config: RunConfig) -> None:
    """Make the folder, or check that it holds a run of the same thing, and write the config.

    Raises:
        BadInputError: it cannot be written, holds something else, or a run of another system or data.
    """
    path = folder / CONFIG
    if path.exists():
        before, now = read_config(folder).identity, config.identity
        changed = [f"{name} was {before[name]!r}, is {now[name]!r}" for name in now if before[name] != now[name]]
        if changed:
            raise BadInputError(f"{folder}: holds another run ({'; '.join(changed)}); give another --output")
    elif folder.is_dir() and any(folder.iterdir()):
        raise BadInputError(f"{folder}: holds other files and no {CONFIG}; give another --output")
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(config), indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be used as --output ({error.strerror})") from None


def read_config(folder: Path) -> RunConfig:
    """The config of a run.

    Raises:
        BadInputError: the folder holds no run, or its config is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise BadInputError(f"{folder}: no {CONFIG} in it; give the --output folder of a bassbench score or run")
    try:
        values = parse_json(path.read_text())
        return RunConfig(**{**values, **{name: tuple(values[name]) for name in ("clips", "reference", "metrics")}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{path}: not the config of a run ({error}); score again into another folder") from None


def write_values(folder: Path, rows: Mapping[str, Sequence[ClipRow]]) -> None:
    """Write the clip rows of each system and anchor by name, whole or not at all.

    Raises:
        BadInputError: they cannot be written.
    """
    lines = [json.dumps({**as_line(row), "system": name}, sort_keys=True) for name, its in rows.items() for row in its]
    write_text(folder / VALUES, "".join(line + "\n" for line in lines))


def read_values(folder: Path) -> dict[str, list[ClipRow]]:
    """The clip rows of the system and of each anchor by name.

    Raises:
        BadInputError: the run was not finished, or the file is damaged.
    """
    path = folder / VALUES
    if not path.is_file():
        raise BadInputError(f"{folder}: its run is not finished (no {VALUES}); give its command again")
    values: dict[str, list[ClipRow]] = {}
    for where, line in read_lines(path):
        row, system = parse_row(line, where)
        values.setdefault(system, []).append(row)
    return values
