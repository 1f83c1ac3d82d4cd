"""The style test of the paper: does the generated bass sound like the style clip that was asked for?

Pasini et al. 2024 (arXiv 2402.01412), section 5: the distance between the embedding of a style clip and that of the
bass generated for a mix, cosine (1 - cos) and Euclidean, lower is better. The embedding of a clip is the mean of its
windows' embeddings. A distance means little alone: the same bass's distance to the style clips of OTHER songs is what
a system that ignores the style gets.
"""

import functools

import numpy as np

from bassbench.embedders.cache import embed_cached
from bassbench.embedders.registry import DEFAULT_EMBEDDER
from bassbench.errors import BadInputError
from bassbench.metrics.gate import GateLimits, decibels, rms
from bassbench.metrics.metric import ClipMetric, Scored

_CITATION = "Pasini et al. 2024, arXiv 2402.01412, section 5; embeddings: MusiCNN, Pons & Serra 2019, arXiv 1909.06654"


def clip_embedding(windows: np.ndarray) -> np.ndarray:
    """The embedding `(dim,)` of a clip: the mean of its windows' embeddings `(windows, dim)`.

    Raises:
        BadInputError: no windows, or not `(windows, dim)`.
    """
    if windows.ndim != 2 or not len(windows):
        raise BadInputError(f"expected embeddings (windows, dim) of one window or more, got shape {windows.shape}")
    return windows.mean(axis=0, dtype=np.float64)


def cosine_distances(style: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """1 - cos of the angle between each style `(songs, dim)` and each generated embedding: `(songs, songs)`.

    Raises:
        BadInputError: see `validate`, or an embedding of length 0.
    """
    validate(style, generated)
    lengths = [np.linalg.norm(side, axis=1, keepdims=True) for side in (style, generated)]
    if min(length.min() for length in lengths) == 0:
        raise BadInputError("an embedding of length 0 has no direction: leave out silent clips")
    return 1 - (style / lengths[0]) @ (generated / lengths[1]).T


def euclidean_distances(style: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Distance of each generated embedding (column) from each style embedding (row): `(songs, songs)`.

    Raises:
        BadInputError: see `validate`.
    """
    validate(style, generated)
    return np.stack([np.linalg.norm(generated - one, axis=1) for one in style])


def validate(style: np.ndarray, generated: np.ndarray) -> None:
    """Check the input of this module's distances.

    Raises:
        BadInputError: shapes that differ or are not `(songs, dim)`, no songs, NaN or Inf.
    """
    if style.ndim != 2 or style.shape != generated.shape or not style.size:
        raise BadInputError(f"expected two arrays (songs, dim) alike, got {style.shape} and {generated.shape}")
    if not (np.isfinite(style).all() and np.isfinite(generated).all()):
        raise BadInputError("clip embeddings hold NaN or Inf; check the audio they were made from")


def _embedding(audio: np.ndarray) -> np.ndarray:
    return clip_embedding(embed_cached(audio, DEFAULT_EMBEDDER))[None]


def _distance(scored: Scored, *, cosine: bool) -> float:
    """Distance of a clip to its style; NaN without one, or where either is silent."""
    if scored.style is None or min(decibels(rms(a)) for a in (scored.style, scored.bass)) < GateLimits.silent_db:
        return float("nan")
    distances = cosine_distances if cosine else euclidean_distances
    return float(distances(_embedding(scored.style), _embedding(scored.bass))[0, 0])


METRICS: tuple[ClipMetric, ...] = (
    ClipMetric("style cosine distance", "", "lower", _CITATION, functools.partial(_distance, cosine=True)),
    ClipMetric("style Euclidean distance", "", "lower", _CITATION, functools.partial(_distance, cosine=False)),
)
