"""Sets of songs as window embeddings, for the metrics that compare window with window."""

import numpy as np


def normal_samples(count: int, dim: int, seed: int, *, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Normal samples `(count, dim)`."""
    return scale * np.random.default_rng(seed).standard_normal((count, dim)) + shift


def song_set(songs: int, seed: int, *, dim: int = 8, windows: int = 5, shift: float = 0.0) -> list[np.ndarray]:
    """Songs whose windows are alike: half of the variance is the song's own."""
    own = normal_samples(songs, dim, seed, scale=np.sqrt(0.5), shift=shift)
    return [mean + normal_samples(windows, dim, 1000 + 7 * seed + i, scale=np.sqrt(0.5)) for i, mean in enumerate(own)]


def generator(seed: int = 0) -> np.random.Generator:
    """One for each call: the same numbers every time."""
    return np.random.default_rng(seed)
