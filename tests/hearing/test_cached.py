"""The cache of what was found in audio: by content, bounded, and never of an error."""

import numpy as np
import pytest

from bassbench.hearing.cached import cached


def test_the_same_content_is_heard_once_and_changed_content_anew() -> None:
    calls = []

    @cached
    def loudest(audio: np.ndarray, sample_rate: int = 44_100) -> float:
        calls.append(sample_rate)
        return float(audio.max())

    audio = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert loudest(audio) == loudest(audio.copy()) == 5.0
    assert len(calls) == 1
    audio[0, 0] = 9.0
    assert loudest(audio) == 9.0
    assert loudest(audio, 8000) == 9.0
    assert loudest(audio.reshape(3, 2)) == 9.0
    assert calls == [44_100, 44_100, 8000, 44_100]


def test_the_cache_is_bounded_and_errors_are_not_kept() -> None:
    calls = []

    @cached
    def strict(audio: np.ndarray, sample_rate: int = 44_100) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first time")
        return len(calls)

    first = np.zeros((1, 1))
    with pytest.raises(ValueError, match="first time"):
        strict(first)
    assert strict(first) == 2
    for value in range(1, 20):
        strict(np.full((1, 1), value))
    assert strict(first) == 22
