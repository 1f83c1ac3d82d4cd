"""What the package brings along so that a first run need not wait: numbers of the anchors on the song bank's splits,
and embeddings of real bass, each under the key that the cache has it under. Under another key (other data, another
version of a metric, another embedder) nothing is found and everything is computed. `bassbench.ship` makes the file.
"""

import functools
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bassbench.cache import content_hash
from bassbench.clip_rows import ClipKey, ClipRow, ClipRowStore, as_line, parse_row
from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.rows import Row, RowStore, parse_summary, plain_summary
from bassbench.song_bank import DATA

FILE = DATA / "shipped.zip"
_CLIPS, _ROWS, _NAMES = "clips.jsonl", "rows.jsonl", "embeddings.json"


@dataclass(frozen=True)
class Shipped:
    """Clip rows and summary rows of anchors by their keys, and embeddings `(windows, dim)` by their cache names."""

    clips: Mapping[ClipKey, ClipRow] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)


@functools.cache
def shipped() -> Shipped:
    """What is shipped; nothing if there is no file.

    Raises:
        BadInputError: the file is damaged.
    """
    return read_shipped(FILE) if FILE.is_file() else Shipped()


def read_shipped(path: Path) -> Shipped:
    """Read a file of `write_shipped`.

    Raises:
        BadInputError: it cannot be read or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            clips = [parse_row(line, _CLIPS)[0] for line in file.read(_CLIPS).splitlines()]
            rows = [parse_summary(line, _ROWS) for line in file.read(_ROWS).splitlines()]
            stacks: dict[str, np.ndarray] = {}
            embeddings = {}
            for name, (stack, index) in json.loads(file.read(_NAMES)).items():
                if stack not in stacks:
                    stacks[stack] = np.load(io.BytesIO(file.read(stack)))
                embeddings[name] = stacks[stack][index]
    except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); install bassbench again") from None
    return Shipped({row.key: row for row in clips}, {row.key: row for row in rows}, embeddings)


def write_shipped(
    path: Path, clips: Iterable[ClipRow], rows: Iterable[Row], embeddings: Mapping[str, np.ndarray]
) -> None:
    """Write the file: rows as lines of JSON, equal embeddings once, in one array for each shape."""
    stacks: dict[str, list[np.ndarray]] = {}
    places: dict[str, tuple[str, int]] = {}
    by_content: dict[str, tuple[str, int]] = {}
    for name, embedding in sorted(embeddings.items()):
        content = content_hash(str(embedding.shape), embedding.tobytes())
        if content not in by_content:
            stack = "embeddings." + "x".join(map(str, embedding.shape)) + ".npy"
            by_content[content] = stack, len(stacks.setdefault(stack, []))
            stacks[stack].append(embedding)
        places[name] = by_content[content]
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as file:

        def add(name: str, data: bytes) -> None:
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_LZMA)  # no time of day: equal content, equal file

        add(_CLIPS, _lines(sorted(json.dumps(as_line(row), sort_keys=True) for row in clips)))
        add(_ROWS, _lines(sorted(json.dumps(plain_summary(row), sort_keys=True) for row in rows)))
        add(_NAMES, json.dumps(places).encode())
        for name, stack_of in stacks.items():
            buffer = io.BytesIO()
            np.save(buffer, np.stack(stack_of))
            add(name, buffer.getvalue())


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
