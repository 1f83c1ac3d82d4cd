"""The samplers on denoisers with known answers, and noise that belongs to a clip's seed."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_model import sampler as samplers
from reference_model.diffusion import Denoiser, cosine, falling_levels
from reference_model.sampler import heun_evaluations, noise_for_seeds


def on_cosine(sampler: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The sampler on the model's own schedule, with K evenly spaced levels."""

    def sample(denoiser: Denoiser, noise: Tensor, steps: int, **options: Any) -> Tensor:
        return sampler(denoiser, noise, falling_levels(steps), cosine, **options)

    return sample


SAMPLERS = {name: on_cosine(sampler) for name, sampler in samplers.SAMPLERS.items()}
ddim, dpm_solver_2m, heun = (SAMPLERS[name] for name in ("ddim", "dpm-solver++", "heun"))


def gaussian(mean: float, deviation: float) -> Denoiser:
    """The optimal denoiser of latents from N(mean, deviation^2)."""

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        alpha, beta = ((math.pi / 2 * level[:, None, None]).cos(), (math.pi / 2 * level[:, None, None]).sin())
        gain = alpha * deviation**2 / (alpha**2 * deviation**2 + beta**2)
        return mean + gain * (noisy - alpha * mean)

    return estimate


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (2.0, 0.5), (-1.0, 1.5)])
def test_ddim_moves_noise_onto_the_gaussian(mean: float, deviation: float) -> None:
    noise = noise_for_seeds([1, 2], 8, 64)
    many = ddim(gaussian(mean, deviation), noise, 1000)
    torch.testing.assert_close(many, mean + deviation * noise, atol=0.02, rtol=0.02)
    errors = [
        float((ddim(gaussian(mean, deviation), noise, k) - mean - deviation * noise).abs().max()) for k in (2, 32)
    ]
    assert deviation == 1.0 or errors[1] < errors[0] / 4


def test_one_step_is_the_estimate_from_noise() -> None:
    noise = noise_for_seeds([5], 3, 4)
    torch.testing.assert_close(ddim(gaussian(0.7, 0.2), noise, 1), torch.full((1, 3, 4), 0.7), atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 3, 64])
def test_levels_fall_from_one_and_the_denoiser_is_called_once_a_step(steps: int) -> None:
    levels: list[float] = []
    done: list[int] = []

    def watch(noisy: Tensor, level: Tensor) -> Tensor:
        levels.append(float(level[0]))
        return noisy

    ddim(watch, torch.zeros(2, 1, 1), steps, on_step=done.append)
    assert levels == pytest.approx([1 - k / steps for k in range(steps)])
    assert done == list(range(steps))


def test_a_denoiser_that_knows_the_answer_is_followed() -> None:
    answer = torch.randn(2, 4, 5)
    torch.testing.assert_close(ddim(lambda *_: answer, torch.randn(2, 4, 5), 7), answer)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_fresh_noise_keeps_the_distribution(eta: float) -> None:
    seeds = list(range(64))
    samples = ddim(gaussian(1.0, 0.5), noise_for_seeds(seeds, 4, 64), 200, eta=eta, seeds=seeds)
    assert float(samples.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.02)
    plain = ddim(gaussian(1.0, 0.5), noise_for_seeds(seeds, 4, 64), 200)
    assert (samples - plain).abs().max() > 0.1


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_clip_does_not_depend_on_its_batch(eta: float) -> None:
    seeds = [3, 9, 2**40]
    together = ddim(gaussian(0.1, 2.0), noise_for_seeds(seeds, 4, 8), 5, eta=eta, seeds=seeds)
    alone = [ddim(gaussian(0.1, 2.0), noise_for_seeds([s], 4, 8), 5, eta=eta, seeds=[s]) for s in seeds]
    torch.testing.assert_close(together, torch.cat(alone), atol=0, rtol=0)


def test_noise_is_normal_and_differs_between_seeds_and_draws() -> None:
    noise = noise_for_seeds([0, 1, -1], 32, 256)
    assert float(noise.mean()) == pytest.approx(0, abs=0.02) and float(noise.std()) == pytest.approx(1, abs=0.02)
    others = [noise[1], noise[2], noise_for_seeds([0], 32, 256, draw=1)[0]]
    for other in others:
        assert float((noise[0] * other).mean()) == pytest.approx(0, abs=0.05)
    assert torch.equal(noise_for_seeds([1], 32, 256)[0], noise[1])


@pytest.mark.parametrize("options", [{"eta": 1.1}, {"eta": 0.5}])
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError):
        ddim(gaussian(0, 1), torch.zeros(1, 1, 1), 4, **options)


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 16])
def test_every_sampler_follows_a_denoiser_that_knows_the_answer(sampler: Callable[..., Tensor], steps: int) -> None:
    answer, done = torch.randn(2, 4, 5), []
    found = sampler(lambda *_: answer, torch.randn(2, 4, 5), steps, on_step=done.append)
    torch.testing.assert_close(found, answer, atol=1e-5, rtol=1e-5)
    assert done == list(range(steps))


def error(sampler: Callable[..., Tensor], steps: int) -> float:
    """Largest error for N(2, 0.5^2), where the trajectory of each noise is known; in double precision."""
    noise = noise_for_seeds([1, 2], 8, 64).double()
    return float((sampler(gaussian(2.0, 0.5), noise, steps) - (2.0 + 0.5 * noise)).abs().max())


def test_second_order_samplers_are_closer_at_equal_evaluations() -> None:
    for evaluations in (8, 16, 64):
        first = error(ddim, evaluations)
        assert error(dpm_solver_2m, evaluations) < first / 2
        assert error(heun, evaluations // 2 + 1) < first / (1 if evaluations == 8 else 2)  # five steps are few
    # Four times the steps: an error 4 times smaller at first order, 16 times at second.
    assert 3 < error(ddim, 16) / error(ddim, 64) < 5
    assert error(heun, 16) / error(heun, 64) > 12


def test_dpm_solver_is_the_published_update() -> None:
    """Two middle steps against the formulas of Algorithm 2, written out with lambda and h."""
    noise, denoiser = noise_for_seeds([4], 2, 3), gaussian(0.3, 0.8)
    at = [1.0, 0.75, 0.5, 0.25]
    alpha, sigma = ([f(math.pi / 2 * t) for t in at] for f in (math.cos, math.sin))
    half_log_snr = [-5.1, *(math.log(a / s) for a, s in zip(alpha[1:], sigma[1:], strict=True))]
    h = [after - before for before, after in itertools.pairwise(half_log_snr)]
    clean = [denoiser(noise, torch.ones(1))]
    z = sigma[1] * noise + alpha[1] * clean[0]
    for i in (1, 2):
        clean.append(denoiser(z, torch.full((1,), at[i])))
        r = h[i - 1] / h[i]
        estimate = (1 + 1 / (2 * r)) * clean[i] - 1 / (2 * r) * clean[i - 1]
        z = sigma[i + 1] / sigma[i] * z - alpha[i + 1] * (math.exp(-h[i]) - 1) * estimate
    torch.testing.assert_close(dpm_solver_2m(denoiser, noise, 4), denoiser(z, torch.full((1,), 0.25)))


@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_evaluations(steps: int) -> None:
    levels: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    for name, sampler in SAMPLERS.items():
        seen = levels[name]

        def watch(noisy: Tensor, level: Tensor, seen: list[float] = seen) -> Tensor:
            seen.append(float(level[0]))
            return noisy

        sampler(watch, torch.zeros(2, 1, 1), steps)
    assert levels["dpm-solver++"] == pytest.approx(levels["ddim"])
    assert len(levels["heun"]) == heun_evaluations(steps)
    assert sorted(set(levels["heun"])) == pytest.approx(sorted(levels["ddim"]))


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("levels", [(), (0.0,), (1.0, 0.5), (0.5, 0.5, 0.0), (1.5, 0.0)])
def test_levels_that_do_not_fall_to_zero_are_refused(sampler: Callable[..., Tensor], levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        sampler(gaussian(0, 1), torch.zeros(1, 1, 1), levels, cosine)
