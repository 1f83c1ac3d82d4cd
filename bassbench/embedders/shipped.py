"""Embeddings of real bass of the song bank that the package brings along, by the names that the cache has for them."""

import functools
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import parse_json
from bassbench.songs.song_bank import DATA

SHIPPED = DATA / "shipped.zip"
_NAMES = "embeddings.json"


@functools.cache
def shipped_embeddings() -> Mapping[str, np.ndarray]:
    """Embeddings `(windows, dim)` by their cache names; none if there is no file.

    Raises:
        BadInputError: the file is damaged.
    """
    return read_embeddings(SHIPPED) if SHIPPED.is_file() else {}


def read_embeddings(path: Path) -> Mapping[str, np.ndarray]:
    """Read the embeddings in a file of `bassbench.suite.ship`.

    Raises:
        BadInputError: it cannot be read or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            stacks: dict[str, np.ndarray] = {}
            embeddings = {}
            for name, (stack, index) in parse_json(file.read(_NAMES)).items():
                if stack not in stacks:
                    stacks[stack] = np.load(io.BytesIO(file.read(stack)))
                embeddings[name] = stacks[stack][index]
    except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); install bassbench again") from None
    return embeddings


def embedding_members(embeddings: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The members of the file that hold the embeddings: equal ones once, in one array for each shape."""
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
    members = {_NAMES: json.dumps(places).encode()}
    for name, arrays in stacks.items():
        buffer = io.BytesIO()
        np.save(buffer, np.stack(arrays))
        members[name] = buffer.getvalue()
    return members
