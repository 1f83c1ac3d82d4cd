"""Windows: they cover everything, agree with the whole where they can, and see nothing but themselves."""

import itertools

import pytest
import torch
from torch import Tensor

from reference_model.inference import window_starts, windowed


def smooth(noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
    """A predictor that works frame by frame."""
    return noisy * level[:, None, None] + mix.mean(1, keepdim=True)


NOISY, LEVEL, MIX = torch.randn(3, 4, 100), torch.tensor([0.1, 0.5, 0.9]), torch.randn(3, 6, 100)


@pytest.mark.parametrize(("frames", "window", "overlap"), [(100, 32, 8), (33, 32, 8), (1000, 256, 64), (64, 32, 0)])
def test_windows_cover_everything_with_the_overlap(frames: int, window: int, overlap: int) -> None:
    starts = window_starts(frames, window, overlap)
    assert starts[0] == 0 and starts[-1] + window == frames
    assert all(0 < later - earlier <= window - overlap for earlier, later in itertools.pairwise(starts))
    assert len(starts) == 1 + -(-(frames - window) // (window - overlap))


@pytest.mark.parametrize("overlap", [0, 8, 31])
@pytest.mark.parametrize("batch", [1, 5, 100])
def test_a_predictor_of_single_frames_is_unchanged(overlap: int, batch: int) -> None:
    result = windowed(smooth, 32, overlap=overlap, batch=batch)(NOISY, LEVEL, MIX)
    torch.testing.assert_close(result, smooth(NOISY, LEVEL, MIX))


def test_short_input_goes_straight_through() -> None:
    lengths: list[int] = []

    def watch(noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
        lengths.append(noisy.shape[2])
        return noisy

    windowed(watch, 128)(NOISY, LEVEL, MIX)
    windowed(watch, 32, overlap=8, batch=2)(NOISY, LEVEL, MIX)
    assert lengths[0] == 100 and set(lengths[1:]) == {32} and len(lengths) == 1 + 6  # 3 clips x 4 windows


def test_neighbours_fade_into_one_another() -> None:
    def own_mean(noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
        return noisy.mean(2, keepdim=True).expand_as(noisy)

    ramp = torch.arange(100.0).expand(1, 1, 100)
    result = windowed(own_mean, 40, overlap=10)(ramp, torch.ones(1), ramp)[0, 0]
    assert (result.diff() >= 0).all() and result.diff().max() < 5
    assert result[0] == pytest.approx(19.5) and result[-1] == pytest.approx(79.5)


def test_overlap_must_be_smaller_than_the_window() -> None:
    with pytest.raises(ValueError, match="overlap"):
        windowed(smooth, 32, overlap=32)
