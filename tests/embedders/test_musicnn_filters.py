"""MusiCNN's first layer against the convolutions that it stands for."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bassbench.embedders.musicnn_filters import HighestResponse, TemporalFilters, TimbralFilters


def _random(filters: HighestResponse) -> HighestResponse:
    """With random weights and normalisation, of which about half the scales are negative."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in filters.state_dict().items()}
    state["norm.running_var"] = state["norm.running_var"].abs() + 0.1
    filters.load_state_dict(state)
    return filters.requires_grad_(False).eval()


def _convolved(filters: HighestResponse, patch: Tensor, before: int, after: int) -> Tensor:
    """The authors' order: a 2-d convolution, rectified, normalised, and only then the highest over bands."""
    weight = filters.convolution.weight.double()
    weight = weight[:, None] if isinstance(filters, TimbralFilters) else weight[:, :, None]
    padded = functional.pad(patch.double()[:, None], (before, after))
    response = functional.conv2d(padded, weight, filters.convolution.bias.double()).relu()
    batch, channels, bands, frames = response.shape
    return filters.norm.double()(response.view(batch, channels, -1)).view(batch, channels, bands, frames).amax(2)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 16, 40])
@pytest.mark.parametrize(("height", "bands"), [(9, 24), (10, 24), (24, 24), (1, 24)])
def test_timbral_filters_are_convolutions(batch: int, frames: int, height: int, bands: int) -> None:
    filters = _random(TimbralFilters(5, height, bands=bands))
    patch = torch.randn(batch, bands, frames, generator=torch.Generator().manual_seed(1))
    found = filters(patch)
    torch.testing.assert_close(found.double(), _convolved(filters, patch, 3, 3), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 16, 41])
@pytest.mark.parametrize(("length", "bands"), [(32, 24), (9, 17), (1, 1)])
def test_temporal_filters_are_convolutions(batch: int, frames: int, length: int, bands: int) -> None:
    filters = _random(TemporalFilters(5, length))
    patch = torch.randn(batch, bands, frames, generator=torch.Generator().manual_seed(1))
    found = filters(patch)
    expected = _convolved(filters, patch, (length - 1) // 2, length // 2)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)
