"""What was heard of a generated bass, kept in the user's cache: studies share cells, and a run cut off loses none."""

import contextlib
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from bassbench.cache import cache_folder, content_hash
from bassbench.files import atomic_path, parse_json

_VERSION = "1"  # raise it when what is heard of the same audio changes


@dataclass(frozen=True)
class Heard:
    """What is kept of one bass: embeddings `(windows, dim)` and the scores of the clip."""

    embedding: np.ndarray
    match: float
    chords: float
    level: float
    clipping: float
    collapsed: float


def recall(key: str) -> Heard | None:
    """What was kept under a key; None if nothing was, or the entry is damaged."""
    path = cache_folder("heard") / f"{content_hash(_VERSION, key)}.npz"
    try:
        with path.open("rb") as file, np.load(file) as entry:
            embedding, scores, digest = entry["embedding"], str(entry["scores"]), str(entry["digest"])
        if content_hash(embedding.tobytes(), scores) != digest:
            return None
        return Heard(embedding=embedding, **parse_json(scores))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def keep(key: str, heard: Heard) -> None:
    """Keep what was heard under a hash of all that it depends on; where the cache cannot be written it is lost."""
    values = asdict(heard)
    embedding, scores = values.pop("embedding"), json.dumps(values)
    path = cache_folder("heard") / f"{content_hash(_VERSION, key)}.npz"
    with contextlib.suppress(OSError), atomic_path(path) as temporary:
        digest = content_hash(embedding.tobytes(), scores)
        np.savez(temporary, embedding=embedding, scores=scores, digest=digest)
