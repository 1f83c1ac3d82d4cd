"""One number of one clip is a row, appended as soon as it is measured; each process appends to a file of its own.

A row's key says what was measured, how and on which audio, so rows may come in any order, from any number of
processes, and twice; and audio that changed is never given the numbers of what it was.
"""

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bassbench.errors import BadInputError
from bassbench.files import append_lines, parse_json, read_lines


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
