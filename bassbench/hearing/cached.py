"""A small cache in memory, keyed by content: what was found in one audio serves the next metric that asks."""

import functools
from collections import OrderedDict
from typing import Protocol, TypeVar

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import content_hash

T = TypeVar("T", covariant=True)
_KEPT = 8  # the bass under test, the real one and their mix, with room to spare


class OfAudio(Protocol[T]):
    """A function of audio `(channels, samples)` and its rate in Hz."""

    def __call__(self, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> T:
        """Hear the audio."""


def cached(function: OfAudio[T]) -> OfAudio[T]:
    """The same pure function, its last answers kept for audio of the same content, in this process only.

    Answers are handed out again, not copied: they must not be changed. An error is not kept.
    """
    kept: OrderedDict[str, T] = OrderedDict()

    def look_up(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> T:
        key = content_hash(f"{audio.dtype} {audio.shape} {sample_rate}", audio.tobytes())
        if key not in kept:
            kept[key] = function(audio, sample_rate)
        kept.move_to_end(key)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        return kept[key]

    return functools.update_wrapper(look_up, function)
