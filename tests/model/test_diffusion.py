"""The schedule and the v-objective: identities, and a loss that is a function of its arguments."""

import math

import pytest
import torch

from reference_model.diffusion import (
    clean_from_v,
    cosine,
    denoiser,
    noised,
    v_loss,
    v_target,
    without_mix,
)


def example(batch: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, batch, 8, 12, generator=generator)
    return clean, noise, torch.rand(batch, generator=generator)


def test_schedule_is_the_cosine_one() -> None:
    alpha, beta = cosine(torch.tensor([0.0, 0.5, 1.0]))
    assert alpha.flatten().tolist() == pytest.approx([1, math.sqrt(0.5), 0], abs=1e-6)
    assert beta.flatten().tolist() == pytest.approx([0, math.sqrt(0.5), 1], abs=1e-6)


def test_the_clean_latent_comes_back_from_v() -> None:
    clean, noise, level = example()
    v = v_target(clean, noise, level)
    torch.testing.assert_close(clean_from_v(noised(clean, noise, level), v, level), clean)


def test_v_is_the_derivative_of_the_noised_latent() -> None:
    clean, noise, level = (tensor.double() for tensor in example())
    step = 1e-6
    slope = (noised(clean, noise, level + step) - noised(clean, noise, level - step)) / (2 * step)
    torch.testing.assert_close(slope, math.pi / 2 * v_target(clean, noise, level), atol=1e-6, rtol=1e-6)


def test_denoiser_of_a_perfect_predictor_is_perfect() -> None:
    clean, noise, level = example()
    estimate = denoiser(lambda noisy, level, mix: v_target(clean, noise, level), torch.zeros(4, 1, 12))
    torch.testing.assert_close(estimate(noised(clean, noise, level), level), clean)


def test_loss_of_each_example() -> None:
    clean, noise, level = example()
    mix = torch.zeros(4, 1, 12)
    perfect = v_loss(lambda *_: v_target(clean, noise, level), clean, mix, noise=noise, level=level)
    assert perfect.shape == (4,) and perfect.max() == 0
    silent = v_loss(lambda noisy, *_: torch.zeros_like(noisy), clean, mix, noise=noise, level=level)
    torch.testing.assert_close(silent, v_target(clean, noise, level).square().mean((1, 2)))


def test_dropping_the_mix() -> None:
    mix = torch.ones(3, 2, 4)
    dropped = without_mix(mix, torch.tensor([True, False, True]))
    assert dropped.sum((1, 2)).tolist() == [0, 8, 0]
