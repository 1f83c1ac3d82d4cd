"""Guidance: its identities at the ends of both scales, and the deviation that the rescale restores."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference_model.diffusion import denoiser
from reference_model.guidance import Denoiser, combine, guided
from reference_model.presets import PRESETS
from reference_model.unet import UNet

CONDITIONAL = (
    torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 2, 0.5])[:, None, None]
)
UNCONDITIONAL = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(1))
NOISY, LEVEL = torch.zeros(3, 4, 16), torch.full((3,), 0.5)


MIX = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(2))


def model(mix: Tensor) -> Denoiser:
    """CONDITIONAL for a mix, UNCONDITIONAL for zeros, whatever the batch."""
    with_mix = (mix != 0).any(dim=2).any(dim=1)[:, None, None]
    repeats = len(mix) // 3

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        assert len(noisy) == len(level) == len(mix)
        return torch.where(with_mix, CONDITIONAL.repeat(repeats, 1, 1), UNCONDITIONAL.repeat(repeats, 1, 1))

    return estimate


def one_pass_of(clips: int) -> Callable[[Tensor], Denoiser]:
    """`model`, if it is evaluated for as many clips at once."""

    def checked(mix: Tensor) -> Denoiser:
        assert len(mix) == clips
        return model(mix)

    return checked


@pytest.mark.parametrize("phi", [0.0, 0.5, 1.0])
def test_weight_one_is_the_conditional_model_alone(phi: float) -> None:
    assert torch.equal(guided(one_pass_of(3), MIX, 1.0, phi)(NOISY, LEVEL), CONDITIONAL)
    torch.testing.assert_close(combine(CONDITIONAL, UNCONDITIONAL, 1.0, phi), CONDITIONAL)


@pytest.mark.parametrize("phi", [0.0, 1.0])
def test_weight_zero_is_the_unconditional_model_alone(phi: float) -> None:
    assert torch.equal(guided(one_pass_of(3), MIX, 0.0, phi)(NOISY, LEVEL), UNCONDITIONAL)


@pytest.mark.parametrize("weight", [0.5, 2.0, 4.0, 10.0])
def test_without_rescale_it_extrapolates(weight: float) -> None:
    estimate = guided(one_pass_of(6), MIX, weight)(NOISY, LEVEL)
    torch.testing.assert_close(estimate - UNCONDITIONAL, weight * (CONDITIONAL - UNCONDITIONAL))


@pytest.mark.parametrize("weight", [0.5, 2.0, 4.0, 10.0])
def test_full_rescale_has_the_conditional_deviation_in_every_clip(weight: float) -> None:
    estimate = combine(CONDITIONAL, UNCONDITIONAL, weight, 1.0)
    torch.testing.assert_close(estimate.std((1, 2)), CONDITIONAL.std((1, 2)))
    plain = combine(CONDITIONAL, UNCONDITIONAL, weight, 0.0)
    direction = (estimate / plain).flatten(1)
    torch.testing.assert_close(direction, direction[:, :1].expand_as(direction))


def test_phi_interpolates() -> None:
    none, half, full = (combine(CONDITIONAL, UNCONDITIONAL, 3.0, phi) for phi in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + full) / 2)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_one_pass_equals_two(batch: int, phi: float) -> None:
    torch.manual_seed(0)
    unet = UNet(PRESETS["tiny"].unet).eval()
    torch.nn.init.normal_(unet.output.weight, std=0.1)
    noisy, mix, level = torch.randn(batch, 8, 12), torch.randn(batch, 16, 12), torch.rand(batch)
    one = guided(functools.partial(denoiser, unet), mix, 2.5, phi)(noisy, level)
    with_mix, without = (denoiser(unet, seen)(noisy, level) for seen in (mix, torch.zeros_like(mix)))
    torch.testing.assert_close(one, combine(with_mix, without, 2.5, phi), atol=1e-5, rtol=1e-5)
    assert (with_mix - without).abs().max() > 1e-3


def test_a_constant_estimate_stays_finite() -> None:
    assert torch.isfinite(combine(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), 3.0, 1.0)).all()


@pytest.mark.parametrize("phi", [-0.1, 1.1])
def test_phi_outside_its_range_is_refused(phi: float) -> None:
    with pytest.raises(ValueError, match="phi"):
        guided(model, MIX, 2.0, phi)
