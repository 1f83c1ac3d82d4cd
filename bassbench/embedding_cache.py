"""Embeddings kept in the user's cache, keyed by the audio's own bytes: what sounds different is never looked up."""

import contextlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.embed import embed, protocol
from bassbench.files import atomic_path, cache_folder, content_hash


def embed_cached(
    audio: np.ndarray, embedder: str, sample_rate: int = SAMPLE_RATE, *, device: str = "cpu"
) -> np.ndarray:
    """`bassbench.embed.embed` of audio `(channels, samples)`: float32 `(windows, dim)`, computed once.

    A damaged entry is computed again. Where the cache cannot be written the embedding is merely not kept.

    Raises:
        BadInputError: unknown embedder, or audio that it cannot take.
    """
    how = json.dumps([protocol(embedder), sample_rate, audio.shape, str(audio.dtype)], sort_keys=True)
    path = cache_folder("embeddings") / f"{content_hash(how, np.ascontiguousarray(audio).tobytes())}.npz"
    embedding = _read(path)
    if embedding is None:
        embedding = embed(audio, sample_rate, embedder, device=device)
        with contextlib.suppress(OSError), atomic_path(path) as temporary:
            np.savez(temporary, embedding=embedding, digest=content_hash(embedding.tobytes()))
    return embedding


def _read(path: Path) -> np.ndarray | None:
    try:
        with path.open("rb") as file, np.load(file) as entry:
            embedding, digest = entry["embedding"], str(entry["digest"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return embedding if content_hash(embedding.tobytes()) == digest else None
