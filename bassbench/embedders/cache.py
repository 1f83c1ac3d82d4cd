"""Embeddings kept in the user's cache, keyed by what determines the audio: what sounds different is never looked up."""

import contextlib
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import cache_folder, content_hash
from bassbench.embedders.registry import embed, protocol
from bassbench.embedders.shipped import shipped_embeddings
from bassbench.files import atomic_path


def embed_cached(
    audio: np.ndarray, embedder: str, sample_rate: int = SAMPLE_RATE, *, device: str = "cpu"
) -> np.ndarray:
    """`bassbench.embedders.registry.embed` of audio `(channels, samples)`: float32 `(windows, dim)`, computed once.

    A damaged entry is computed again. Where the cache cannot be written the embedding is merely not kept.

    Raises:
        BadInputError: unknown embedder, or audio that it cannot take.
    """
    key = content_hash(json.dumps([audio.shape, str(audio.dtype)]), np.ascontiguousarray(audio).tobytes())
    return _kept(key, embedder, sample_rate, lambda: embed(audio, sample_rate, embedder, device=device))


def embed_keyed(
    key: str | None,
    audio: Callable[[], np.ndarray],
    embedder: str,
    sample_rate: int = SAMPLE_RATE,
    *,
    device: str = "cpu",
) -> np.ndarray:
    """The same for audio that is only made if its embedding is not at hand; `key` is a hash of all it depends on.

    Without a key it is made, and its content is the key. Audio that has to be made is embedded by `embed_cached`, so
    one that is asked for by two keys, or by its key and as it is, is embedded once.

    Raises:
        BadInputError: unknown embedder, or audio that it cannot take.
    """

    def make() -> np.ndarray:
        return embed_cached(audio(), embedder, sample_rate, device=device)

    return make() if key is None else _kept(key, embedder, sample_rate, make)


def entry_name(key: str, embedder: str, sample_rate: int = SAMPLE_RATE) -> str:
    """What an embedding is called: a hash of the key and of all that the embedder's protocol says."""
    return content_hash(json.dumps([protocol(embedder), sample_rate], sort_keys=True), key)


def _kept(key: str, embedder: str, sample_rate: int, make: Callable[[], np.ndarray]) -> np.ndarray:
    name = entry_name(key, embedder, sample_rate)
    path = cache_folder("embeddings") / f"{name}.npz"
    embedding = _read(path)
    if embedding is None:
        embedding = shipped_embeddings().get(name)
    if embedding is None:
        embedding = make()
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
