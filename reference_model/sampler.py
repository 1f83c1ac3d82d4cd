"""DDIM (Song et al., 2021) over any denoiser; it knows nothing of networks, guidance or audio."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(noisy latent `(batch, dims, frames)`, level `(batch,)`) -> estimate of the clean latent, of the same shape."""


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
        alpha, beta = math.cos(math.pi / 2 * level), math.sin(math.pi / 2 * level)
        alpha_below, beta_below = math.cos(math.pi / 2 * below), math.sin(math.pi / 2 * below)
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
