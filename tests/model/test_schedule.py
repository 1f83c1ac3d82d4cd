"""One schedule: training, samplers and grounding follow whichever they are given, together."""

import math

import pytest
import torch
from torch import Tensor

from reference_model.diffusion import Schedule, cosine, denoiser, falling_levels, v_loss
from reference_model.grounding import grounded
from reference_model.sampler import SAMPLERS, noise_for_seeds

MEAN, DEVIATION = 1.0, 0.5
NO_MIX = torch.zeros(64, 1, 64)


def squared(level: Tensor) -> tuple[Tensor, Tensor]:
    """Another schedule: the angle grows with the square of the level."""
    angle = (math.pi / 2) * level**2
    return angle.cos(), angle.sin()


def optimal(schedule: Schedule):
    """The v-predictor that is optimal for latents from N(MEAN, DEVIATION^2) noised by a schedule."""

    def predict(noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
        alpha, beta = schedule(level[:, None, None])
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + beta**2)
        clean = MEAN + gain * (noisy - alpha * MEAN)
        return (alpha * noisy - clean) / beta  # v = (alpha z - c) / beta

    return predict


@pytest.mark.parametrize("schedule", [cosine, squared])
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_samplers_follow_the_schedule(sampler, schedule: Schedule) -> None:
    noise = noise_for_seeds(range(64), 1, 64)
    denoise = denoiser(optimal(schedule), NO_MIX, schedule)
    found = sampler(denoise, noise, falling_levels(128), schedule)
    torch.testing.assert_close(found, MEAN + DEVIATION * noise, atol=0.02, rtol=0.02)
    other = sampler(denoise, noise, falling_levels(128), squared if schedule is cosine else cosine)
    assert (other - MEAN - DEVIATION * noise).abs().max() > 0.1


@pytest.mark.parametrize("schedule", [cosine, squared])
def test_training_follows_the_schedule(schedule: Schedule) -> None:
    """No predictor has a lower loss under a schedule than the one that is optimal for it."""
    clean = MEAN + DEVIATION * noise_for_seeds(range(64), 1, 64, draw=1)
    noise, level = noise_for_seeds(range(64), 1, 64), torch.linspace(0.05, 0.95, 64)
    other = squared if schedule is cosine else cosine
    own, wrong = (
        float(v_loss(optimal(meant), clean, NO_MIX, noise=noise, level=level, schedule=schedule).mean())
        for meant in (schedule, other)
    )
    assert own < 0.95 * wrong


@pytest.mark.parametrize("schedule", [cosine, squared])
def test_grounding_follows_the_schedule(schedule: Schedule) -> None:
    level = torch.tensor([0.3, 0.6])
    clean, style = torch.zeros(2, 1, 8), torch.ones(2, 1)
    found = grounded(lambda *_: clean, style, schedule)(clean, level)
    torch.testing.assert_close(found.mean(2)[:, 0], schedule(level)[1].square())
