"""Guidance: its identities at the ends of both scales, and the deviation that the rescale restores."""

import pytest
import torch
from torch import Tensor

from reference_model.guidance import Denoiser, combine, guided, guided_pair

CONDITIONAL = (
    torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 2, 0.5])[:, None, None]
)
UNCONDITIONAL = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(1))
NOISY, LEVEL = torch.zeros(3, 4, 16), torch.full((3,), 0.5)


def constant(value: Tensor) -> Denoiser:
    return lambda noisy, level: value


def never(noisy: Tensor, level: Tensor) -> Tensor:
    raise AssertionError("evaluated in vain")


@pytest.mark.parametrize("phi", [0.0, 0.5, 1.0])
def test_weight_one_is_the_conditional_model_alone(phi: float) -> None:
    assert torch.equal(guided(constant(CONDITIONAL), never, 1.0, phi)(NOISY, LEVEL), CONDITIONAL)
    torch.testing.assert_close(combine(CONDITIONAL, UNCONDITIONAL, 1.0, phi), CONDITIONAL)


@pytest.mark.parametrize("phi", [0.0, 1.0])
def test_weight_zero_is_the_unconditional_model_alone(phi: float) -> None:
    assert torch.equal(guided(never, constant(UNCONDITIONAL), 0.0, phi)(NOISY, LEVEL), UNCONDITIONAL)


@pytest.mark.parametrize("weight", [0.5, 2.0, 4.0, 10.0])
def test_without_rescale_it_extrapolates(weight: float) -> None:
    estimate = guided(constant(CONDITIONAL), constant(UNCONDITIONAL), weight)(NOISY, LEVEL)
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


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_both_forms_agree(weight: float, phi: float) -> None:
    two = guided(constant(CONDITIONAL), constant(UNCONDITIONAL), weight, phi)(NOISY, LEVEL)
    one = guided_pair(lambda noisy, level: (CONDITIONAL, UNCONDITIONAL), weight, phi)(NOISY, LEVEL)
    torch.testing.assert_close(one, two)


def test_a_constant_estimate_stays_finite() -> None:
    assert torch.isfinite(combine(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), 3.0, 1.0)).all()


@pytest.mark.parametrize("phi", [-0.1, 1.1])
def test_phi_outside_its_range_is_refused(phi: float) -> None:
    with pytest.raises(ValueError, match="phi"):
        guided(never, never, 2.0, phi)
    with pytest.raises(ValueError, match="phi"):
        guided_pair(lambda noisy, level: (noisy, noisy), 2.0, phi)
