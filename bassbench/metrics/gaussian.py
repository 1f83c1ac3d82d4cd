"""Statistics of embeddings as values that merge: they stream, shard over processes and cannot go stale.

Conventions: samples `(count, dim)`; everything float64. `scatter` is the sum over samples of the outer product of
their deviation from the mean, so that the unbiased covariance is scatter / (count - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bassbench.errors import BadInputError


class Gaussian:
    """Count, mean `(dim,)` and centred scatter `(dim, dim)` of a set of samples; read-only.

    Merging is associative and commutative (up to rounding), and the empty Gaussian is its identity:
    `sum(parts, Gaussian.empty(dim))` equals the statistics of all samples together.
    """

    def __init__(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        mean, scatter = (np.array(value, dtype=np.float64) for value in (mean, scatter))
        if mean.ndim != 1 or scatter.shape != (len(mean), len(mean)) or count < 0:
            raise BadInputError(
                f"a Gaussian needs a count >= 0, a mean (dim,) and a scatter (dim, dim), "
                f"got {count}, {mean.shape} and {scatter.shape}"
            )
        mean.flags.writeable = scatter.flags.writeable = False
        self.count: Final = count
        self.mean: Final = mean
        self.scatter: Final = scatter

    @classmethod
    def empty(cls, dim: int) -> Gaussian:
        """The statistics of no samples: the identity of `merge`."""
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def from_samples(cls, samples: np.ndarray) -> Gaussian:
        """The statistics of samples `(count, dim)`.

        Raises:
            BadInputError: the samples are not a matrix, or hold NaN or Inf.
        """
        samples = np.asarray(samples, dtype=np.float64)
        if samples.ndim != 2:
            raise BadInputError(f"expected embeddings (windows, dim), got an array of shape {samples.shape}")
        if not np.isfinite(samples).all():
            raise BadInputError("embeddings hold NaN or Inf; check the audio they were made from")
        if not len(samples):
            return cls.empty(samples.shape[1])
        mean = samples.mean(axis=0)
        centred = samples - mean
        return cls(len(samples), mean, centred.T @ centred)

    @classmethod
    def pooled(cls, parts: Sequence[Gaussian], times: Sequence[int] | np.ndarray | None = None) -> Gaussian:
        """The parts merged in one go, part i taken `times[i]` times (default: once): a bootstrap replicate.

        Raises:
            BadInputError: no parts, differing dims, or `times` that are not one whole number >= 0 per part.
        """
        if not parts:
            raise BadInputError("nothing to pool: give at least one Gaussian")
        if len({part.dim for part in parts}) > 1:
            raise BadInputError(f"cannot pool embeddings of different sizes: {sorted({part.dim for part in parts})}")
        weights = np.ones(len(parts), dtype=int) if times is None else np.asarray(times)
        if weights.shape != (len(parts),) or weights.dtype.kind not in "iu" or weights.min() < 0:
            raise BadInputError(f"`times` needs one whole number >= 0 for each of the {len(parts)} parts")
        used = [(int(weight), part) for weight, part in zip(weights, parts, strict=True) if weight and part.count]
        count = sum(weight * part.count for weight, part in used)
        if count == 0:
            return cls.empty(parts[0].dim)
        masses = np.array([weight * part.count for weight, part in used], dtype=np.float64)
        means = np.stack([part.mean for _, part in used])
        mean = masses @ means / count
        deviations = (means - mean) * np.sqrt(masses)[:, None]
        scatter = deviations.T @ deviations
        for weight, part in used:
            scatter += weight * part.scatter
        return cls(count, mean, scatter)

    @property
    def dim(self) -> int:
        """Size of one sample."""
        return len(self.mean)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance `(dim, dim)`.

        Raises:
            BadInputError: fewer than two samples.
        """
        if self.count < 2:
            raise BadInputError(f"a covariance needs two samples or more, got {self.count}: use more or longer audio")
        return self.scatter / (self.count - 1)

    def merge(self, other: Gaussian) -> Gaussian:
        """The statistics of both sets of samples together (Chan, Golub & LeVeque 1979).

        Raises:
            BadInputError: the dims differ.
        """
        if self.dim != other.dim:
            raise BadInputError(f"cannot merge embeddings of size {self.dim} with embeddings of size {other.dim}")
        if not (self.count and other.count):
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.count * other.count / count)
        return Gaussian(count, self.mean + step * (other.count / count), self.scatter + other.scatter + between)

    def __add__(self, other: Gaussian) -> Gaussian:
        return self.merge(other)
