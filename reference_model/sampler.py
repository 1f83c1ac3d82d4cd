"""Samplers over any denoiser, on any falling levels and schedule: DDIM (the paper's), DPM-Solver++(2M) and Heun.

They know nothing of networks, guidance or audio. All three take the same step from one level to the one below and
differ in the clean estimate that they take it with.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_model.diffusion import Denoiser, Schedule

# Half the log signal-to-noise ratio at level 1 is minus infinity; the schedule is cut here, as is customary.
_LOWEST_HALF_LOG_SNR = -5.1


class Level(NamedTuple):
    """A level and the schedule there: the noisy latent is alpha times the clean one plus beta times the noise."""

    level: float
    alpha: float
    beta: float

    @property
    def half_log_snr(self) -> float:
        """lambda = log(alpha / beta), cut off near level 1."""
        return max(math.log(max(self.alpha, 1e-12) / self.beta), _LOWEST_HALF_LOG_SNR)


def noise_for_seeds(seeds: Sequence[int], dims: int, frames: int, *, draw: int = 0) -> Tensor:
    """Standard normal noise `(len(seeds), dims, frames)`, one generator for each clip's seed.

    A clip's noise does not depend on the batch it is in. `draw` counts the draws of one clip: 0 is where sampling
    starts, k the noise that the k-th step adds.
    """
    noise = []
    for seed in seeds:
        state = np.random.SeedSequence([seed % 2**64, draw]).generate_state(1, np.uint64)[0]
        noise.append(torch.randn(dims, frames, generator=torch.Generator().manual_seed(int(state))))
    return torch.stack(noise)


def step(noisy: Tensor, estimate: Tensor, now: Level, below: Level, *, sigma: float = 0.0) -> Tensor:
    """z' = alpha' c + sqrt(beta'^2 - sigma^2) eps, with the noise eps = (z - alpha c) / beta that the estimate implies.

    Leaves room for fresh noise of deviation `sigma` (Song et al., 2021, equation 12); at level 0 it is the estimate.
    """
    noise = (noisy - now.alpha * estimate) / now.beta
    return below.alpha * estimate + math.sqrt(max(below.beta**2 - sigma**2, 0.0)) * noise


def ddim(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Sequence[float],
    schedule: Schedule,
    *,
    eta: float = 0.0,
    seeds: Sequence[int] = (),
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Clean latent `(batch, dims, frames)` from noise of that shape, over K + 1 levels that fall from 1 to 0.

    `eta` from 0 (deterministic) to 1 (as much fresh noise as DDPM) needs the clips' `seeds`. `on_step(k)` is called
    after each of the K steps, which are one evaluation of the denoiser each.

    Raises:
        ValueError: levels that do not fall to 0, an eta outside [0, 1], or eta without one seed for each clip.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    if eta and len(seeds) != len(noise):
        raise ValueError(f"eta > 0 needs one seed for each of {len(noise)} clips, got {len(seeds)}")
    noisy = noise
    for k, (now, below) in enumerate(_steps(levels, schedule)):
        sigma = eta * below.beta / now.beta * math.sqrt(max(1 - (now.alpha / below.alpha) ** 2, 0.0))
        noisy = step(noisy, _evaluated(denoiser, noisy, now), now, below, sigma=sigma)
        if sigma:
            noisy = noisy + sigma * noise_for_seeds(seeds, *noise.shape[1:], draw=k + 1).to(noisy)
        if on_step is not None:
            on_step(k)
    return noisy


def dpm_solver_2m(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Sequence[float],
    schedule: Schedule,
    *,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2022, arXiv 2211.01095, Algorithm 2): as `ddim`, second order, K evaluations.

    The estimate is extrapolated from the last two. The first step has no former one, and at level 0 the log
    signal-to-noise ratio is infinite: these two are DDIM's.

    Raises:
        ValueError: levels that do not fall to 0.
    """
    noisy, before, stride_before = noise, noise, math.inf
    for k, (now, below) in enumerate(_steps(levels, schedule)):
        clean = estimate = _evaluated(denoiser, noisy, now)
        if below.beta:
            stride = below.half_log_snr - now.half_log_snr
            if k:
                # D = (1 + 1 / 2r) c_k - 1 / 2r c_{k-1}, r = h_{k-1} / h_k.
                extra = stride / (2 * stride_before)
                estimate = (1 + extra) * clean - extra * before
            before, stride_before = clean, stride
        noisy = step(noisy, estimate, now, below)
        if on_step is not None:
            on_step(k)
    return noisy


def heun(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Sequence[float],
    schedule: Schedule,
    *,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Heun's method (Karras et al., 2022, arXiv 2206.00364, Algorithm 1): second order, `heun_evaluations(steps)`.

    x = z / alpha moves along dx / dsigma = eps against sigma = beta / alpha: an Euler step, which is DDIM's, and then
    the mean of the slopes at its ends. The first step, from infinite sigma, and the last, to zero, stay DDIM's.

    Raises:
        ValueError: levels that do not fall to 0.
    """
    noisy = noise
    for k, (now, below) in enumerate(_steps(levels, schedule)):
        clean = _evaluated(denoiser, noisy, now)
        euler = step(noisy, clean, now, below)
        if k and below.beta:
            slopes = (noisy - now.alpha * clean) / now.beta
            slopes = slopes + (euler - below.alpha * _evaluated(denoiser, euler, below)) / below.beta
            fall = below.beta / below.alpha - now.beta / now.alpha
            noisy = below.alpha * (noisy / now.alpha + fall * slopes / 2)
        else:
            noisy = euler
        if on_step is not None:
            on_step(k)
    return noisy


def heun_evaluations(steps: int) -> int:
    """How often `heun` calls the denoiser: twice a step, once in the first and the last."""
    return steps + max(steps - 2, 0)


def _steps(levels: Sequence[float], schedule: Schedule) -> Iterator[tuple[Level, Level]]:
    """Each level with the one below it."""
    falling = all(now > below for now, below in itertools.pairwise(levels))
    if len(levels) < 2 or not falling or levels[-1] != 0 or levels[0] > 1:
        raise ValueError(f"levels must fall from at most 1 to 0 in at least one step, got {list(levels)}")
    alphas, betas = (values.tolist() for values in schedule(torch.tensor(levels, dtype=torch.float64)))
    return itertools.pairwise(itertools.starmap(Level, zip(levels, alphas, betas, strict=True)))


def _evaluated(denoiser: Denoiser, noisy: Tensor, at: Level) -> Tensor:
    return denoiser(noisy, torch.full((len(noisy),), at.level, device=noisy.device))


SAMPLERS: dict[str, Callable[..., Tensor]] = {"ddim": ddim, "dpm-solver++": dpm_solver_2m, "heun": heun}
"""By name: (denoiser, noise, levels, schedule, on_step=...) -> clean latent; only `ddim` takes `eta` and `seeds`."""
