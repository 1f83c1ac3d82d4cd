"""What the training loops share."""

import threading

import pytest

from bassbench.training.loop import ahead


def test_the_next_is_drawn_while_one_is_in_use() -> None:
    drawn: list[int] = []
    second = threading.Event()

    def draw(step: int) -> int:
        drawn.append(step)
        if step == 6:
            second.set()
        return step * step

    batches = ahead(draw, range(5, 8))
    assert next(batches) == 25
    assert second.wait(timeout=60) and drawn == [5, 6]
    assert list(batches) == [36, 49] and drawn == [5, 6, 7]
    assert list(ahead(draw, range(0))) == []


def test_an_error_in_drawing_comes_out_where_the_batch_is_used() -> None:
    def draw(step: int) -> int:
        if step == 1:
            raise ValueError("no such clip")
        return step

    batches = ahead(draw, range(3))
    assert next(batches) == 0
    with pytest.raises(ValueError, match="no such clip"):
        next(batches)
