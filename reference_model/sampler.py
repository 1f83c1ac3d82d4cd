"""Samplers over any denoiser, all on the levels 1, 1 - 1/K, ..., 0: DDIM (the paper's), DPM-Solver++(2M) and Heun.

They know nothing of networks, guidance or audio.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(noisy latent `(batch, dims, frames)`, level `(batch,)`) -> estimate of the clean latent, of the same shape."""

# Half the log signal-to-noise ratio at level 1 is minus infinity; the cosine schedule is cut here, as is customary.
_LOWEST_HALF_LOG_SNR = -5.1


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


def ddim(
    denoiser: Denoiser,
    noise: Tensor,
    steps: int = 64,
    *,
    eta: float = 0.0,
    seeds: Sequence[int] = (),
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Clean latent `(batch, dims, frames)` from noise of that shape, over levels 1, 1 - 1/K, ..., 1/K, 0.

    `eta` from 0 (deterministic) to 1 (as much fresh noise as DDPM) needs the clips' `seeds`. `on_step(k)` is called
    after each of the K steps, which are one evaluation of the denoiser each.

    Raises:
        ValueError: no steps, an eta outside [0, 1], or eta without one seed for each clip.
    """
    if steps < 1 or not 0 <= eta <= 1:
        raise ValueError(f"steps must be at least 1 and eta in [0, 1], got {steps} and {eta}")
    if eta and len(seeds) != len(noise):
        raise ValueError(f"eta > 0 needs one seed for each of {len(noise)} clips, got {len(seeds)}")
    noisy = noise
    for k in range(steps):
        level, below = 1 - k / steps, 1 - (k + 1) / steps
        (alpha, beta), (alpha_below, beta_below) = _signal_and_noise(level), _signal_and_noise(below)
        clean = denoiser(noisy, torch.full((len(noisy),), level, device=noisy.device))
        if k + 1 == steps:
            noisy = clean
        else:
            # z' = alpha' c + sqrt(beta'^2 - sigma^2) eps + sigma fresh, with the noise eps that c implies.
            epsilon = (noisy - alpha * clean) / beta
            sigma = eta * beta_below / beta * math.sqrt(max(1 - (alpha / alpha_below) ** 2, 0.0))
            noisy = alpha_below * clean + math.sqrt(max(beta_below**2 - sigma**2, 0.0)) * epsilon
            if sigma:
                fresh = noise_for_seeds(seeds, *noise.shape[1:], draw=k + 1)
                noisy = noisy + sigma * fresh.to(noisy)
        if on_step is not None:
            on_step(k)
    return noisy


def dpm_solver_2m(
    denoiser: Denoiser, noise: Tensor, steps: int = 16, *, on_step: Callable[[int], None] | None = None
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2022, arXiv 2211.01095, Algorithm 2): as `ddim`, second order, K evaluations.

    The estimate is extrapolated from the last two. The first step has no former one, and at level 0 the log
    signal-to-noise ratio is infinite: these two are DDIM's.

    Raises:
        ValueError: no steps.
    """
    _check_steps(steps)
    noisy, before, stride_before = noise, noise, math.inf
    for k in range(steps):
        alpha, beta = _signal_and_noise(1 - k / steps)
        alpha_below, beta_below = _signal_and_noise(1 - (k + 1) / steps)
        clean = denoiser(noisy, torch.full((len(noisy),), 1 - k / steps, device=noisy.device))
        estimate = clean
        if k + 1 < steps:
            stride = _half_log_snr(alpha_below, beta_below) - _half_log_snr(alpha, beta)
            if k:
                # D = (1 + 1 / 2r) c_k - 1 / 2r c_{k-1}, r = h_{k-1} / h_k.
                extra = stride / (2 * stride_before)
                estimate = (1 + extra) * clean - extra * before
            before, stride_before = clean, stride
        # z' = beta' / beta z + alpha' (1 - e^-h) D, where alpha' e^-h = alpha beta' / beta.
        noisy = beta_below / beta * noisy + (alpha_below - alpha * beta_below / beta) * estimate
        if on_step is not None:
            on_step(k)
    return noisy


def heun(denoiser: Denoiser, noise: Tensor, steps: int = 16, *, on_step: Callable[[int], None] | None = None) -> Tensor:
    """Heun's method (Karras et al., 2022, arXiv 2206.00364, Algorithm 1): second order, `heun_evaluations(steps)`.

    x = z / alpha moves along dx / dsigma = eps against sigma = beta / alpha: an Euler step, which is DDIM's, and then
    the mean of the slopes at its ends. The first step, from infinite sigma, and the last, to zero, stay DDIM's.

    Raises:
        ValueError: no steps.
    """
    _check_steps(steps)
    noisy = noise
    for k in range(steps):
        alpha, beta = _signal_and_noise(1 - k / steps)
        alpha_below, beta_below = _signal_and_noise(1 - (k + 1) / steps)
        clean = denoiser(noisy, torch.full((len(noisy),), 1 - k / steps, device=noisy.device))
        epsilon = (noisy - alpha * clean) / beta
        euler = alpha_below * clean + beta_below * epsilon
        if 0 < k < steps - 1:
            clean_below = denoiser(euler, torch.full((len(noisy),), 1 - (k + 1) / steps, device=noisy.device))
            epsilon_below = (euler - alpha_below * clean_below) / beta_below
            fall = beta_below / alpha_below - beta / alpha
            noisy = alpha_below * (noisy / alpha + fall * (epsilon + epsilon_below) / 2)
        else:
            noisy = euler
        if on_step is not None:
            on_step(k)
    return noisy


def heun_evaluations(steps: int) -> int:
    """How often `heun` calls the denoiser: twice a step, once in the first and the last."""
    return steps + max(steps - 2, 0)


def _signal_and_noise(level: float) -> tuple[float, float]:
    return math.cos(math.pi / 2 * level), math.sin(math.pi / 2 * level)


def _half_log_snr(alpha: float, beta: float) -> float:
    return max(math.log(max(alpha, 1e-12) / beta), _LOWEST_HALF_LOG_SNR)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")


SAMPLERS: dict[str, Callable[..., Tensor]] = {"ddim": ddim, "dpm-solver++": dpm_solver_2m, "heun": heun}
"""By name: (denoiser, noise, steps, on_step=...) -> clean latent; only `ddim` takes `eta` and `seeds`."""
