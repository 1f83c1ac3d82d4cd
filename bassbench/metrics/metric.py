"""A metric of one clip: what it is given, what it is called, and which way is better.

A metric over a set of clips (FAD and its kin) is a plain function over embeddings; `bassbench.metrics.sets` lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bassbench.songs.render import Clip


@dataclass(frozen=True)
class Scored:
    """One clip under test: the pair with its ground truth (empty where unknown), and the bass that a system gave.

    `bass` is float32 `(2, samples)` at 44.1 kHz, as long as `clip.mix`. `style` is the style clip that was asked for.
    """

    clip: Clip
    bass: np.ndarray
    style: np.ndarray | None = None


@dataclass(frozen=True)
class ClipMetric:
    """One number a clip, NaN where it is undefined there (silence, truth unknown).

    `direction` is "higher", "lower" or "real" (closest to the real bass's value is best). `version` is raised when
    the numbers that `measure` gives change.
    """

    name: str
    unit: str
    direction: str
    citation: str
    measure: Callable[[Scored], float]
    version: int = 1

    def __post_init__(self) -> None:
        if self.direction not in ("higher", "lower", "real"):
            raise ValueError(f"{self.name}: direction is higher, lower or real, not '{self.direction}'")
