"""Grounding: it moves the mean over time and nothing else, by beta^2."""

import pytest
import torch
from torch import Tensor

from reference_model.diffusion import Denoiser, cosine
from reference_model.grounding import grounded

CLEAN = torch.randn(3, 5, 20, generator=torch.Generator().manual_seed(0)) + 1
STYLE = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
NOISY = torch.zeros(3, 5, 20)


def constant(value: Tensor) -> Denoiser:
    return lambda noisy, level: value


def at(level: float, **options: float) -> Tensor:
    return grounded(constant(CLEAN), STYLE, cosine, **options)(NOISY, torch.full((3,), level))


@pytest.mark.parametrize(("level", "weight"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1 / 3, 0.25)])
def test_the_mean_moves_by_beta_squared(level: float, weight: float) -> None:
    expected = weight * STYLE + (1 - weight) * CLEAN.mean(2)
    torch.testing.assert_close(at(level).mean(2), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_what_moves_over_time_is_left_alone(level: float) -> None:
    result = at(level)
    centred = [x - x.mean(2, keepdim=True) for x in (result, CLEAN)]
    torch.testing.assert_close(centred[0], centred[1], atol=1e-5, rtol=1e-5)


def test_its_own_style_changes_nothing() -> None:
    result = grounded(constant(CLEAN), CLEAN.mean(2), cosine)(NOISY, torch.full((3,), 0.8))
    torch.testing.assert_close(result, CLEAN, atol=1e-6, rtol=1e-5)


def test_strength_and_exponent() -> None:
    torch.testing.assert_close(at(0.7, strength=0.0), CLEAN, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(at(0.2, exponent=0.0).mean(2), STYLE, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(at(1.0, strength=0.5).mean(2), (STYLE + CLEAN.mean(2)) / 2, atol=1e-6, rtol=1e-5)


def test_every_clip_at_its_own_level() -> None:
    level = torch.tensor([0.0, 0.5, 1.0])
    together = grounded(constant(CLEAN), STYLE, cosine)(NOISY, level)
    for i in range(3):
        torch.testing.assert_close(together[i], at(float(level[i]))[i])


def test_one_style_serves_a_whole_batch() -> None:
    result = grounded(constant(CLEAN), STYLE[:1], cosine)(NOISY, torch.ones(3))
    torch.testing.assert_close(result.mean(2), STYLE[:1].expand(3, -1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", [{"strength": 1.5}, {"strength": -0.1}, {"exponent": -1.0}])
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError):
        grounded(constant(CLEAN), STYLE, cosine, **options)
