"""What the suite asks of the systems it scores: a system is anything with these members, no base class needed."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Accompanist(Protocol):
    """A system under test: gives a bass for a mix."""

    @property
    def name(self) -> str:
        """What tables call the system."""
        ...

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of the audio it takes and gives."""
        ...

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """A bass `(batch, 2, samples)` for mixes `(batch, 2, samples)`, float32, full scale 1.

        `style` `(batch, 2, style samples)` asks for its timbre; a system without that control ignores it. Each clip's
        output depends on its own mix, style and seed alone, whatever else is in the batch.
        """
        ...
