"""What the package brings along so that a first run need not wait: numbers of the anchors on the song bank's splits,
each under the key that the cache has it under (and embeddings, `bassbench.embedders.shipped`). Under another key (other
data, another version of a metric, another embedder) nothing is found and everything is computed. `bassbench.suite.ship`
makes the file.
"""

import functools
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bassbench.embedders.shipped import SHIPPED, embedding_members
from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.results.rows import Row, RowStore, parse_summary, plain_summary
from bassbench.suite.run_folder import ClipKey, ClipRow, ClipRowStore, as_line, parse_row

_CLIPS, _ROWS = "clips.jsonl", "rows.jsonl"


@dataclass(frozen=True)
class Shipped:
    """Clip rows and summary rows of anchors by their keys."""

    clips: Mapping[ClipKey, ClipRow] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)


@functools.cache
def shipped() -> Shipped:
    """What is shipped; nothing if there is no file.

    Raises:
        BadInputError: the file is damaged.
    """
    return read_shipped(SHIPPED) if SHIPPED.is_file() else Shipped()


def read_shipped(path: Path) -> Shipped:
    """Read the rows of a file of `write_shipped`.

    Raises:
        BadInputError: it cannot be read or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            clips = [parse_row(line, _CLIPS)[0] for line in file.read(_CLIPS).splitlines()]
            rows = [parse_summary(line, _ROWS) for line in file.read(_ROWS).splitlines()]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); install bassbench again") from None
    return Shipped({row.key: row for row in clips}, {row.key: row for row in rows})


def write_shipped(
    path: Path, clips: Iterable[ClipRow], rows: Iterable[Row], embeddings: Mapping[str, np.ndarray]
) -> None:
    """Write the file: rows as lines of JSON, and the embeddings; equal content gives an equal file."""
    members = {
        _CLIPS: _lines(sorted(json.dumps(as_line(row), sort_keys=True) for row in clips)),
        _ROWS: _lines(sorted(json.dumps(plain_summary(row), sort_keys=True) for row in rows)),
        **embedding_members(embeddings),
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_LZMA)  # no time of day


class AnchorClips(ClipRowStore):
    """The anchors' clip rows: those that are shipped, and those that were measured here."""

    def read(self) -> dict[ClipKey, ClipRow]:
        """All rows by key.

        Raises:
            BadInputError: as `ClipRowStore.read`.
        """
        return {**super().read(), **shipped().clips}


class AnchorRows(RowStore):
    """The anchors' summary rows: those that are shipped, and those that were measured here."""

    def rows(self) -> list[Row]:
        """All rows, each key once.

        Raises:
            BadInputError: as `RowStore.rows`.
        """
        return list({**{row.key: row for row in super().rows()}, **shipped().rows}.values())


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()
