"""Diffusion on latents (paper, section 3.2): the schedule, the levels, the v-objective, and what a denoiser is.

A level t lies in [0, 1]: 0 is the clean latent, 1 is noise. z_t = alpha_t c + beta_t eps, where a schedule gives
alpha_t and beta_t. The model's schedule is `cosine`; whatever else needs one (samplers, grounding) is given it.
"""

import math
from collections.abc import Callable

from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(noisy latent `(batch, dims, frames)`, level `(batch,)`) -> estimate of the clean latent, of the same shape."""

VPredictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy latent, level, mix latent with what else it is conditioned on) -> v; `reference_model.unet.UNet` is one."""

Schedule = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Levels of any shape -> alpha and beta of that shape; alpha^2 + beta^2 = 1, from (1, 0) at 0 to (0, 1) at 1."""


def cosine(level: Tensor) -> tuple[Tensor, Tensor]:
    """alpha = cos(pi t / 2) and beta = sin(pi t / 2).

    # Not in the paper: the formula; it says "cosine schedule". This one goes with v-prediction (Salimans and Ho, 2022).
    """
    angle = (math.pi / 2) * level
    return angle.cos(), angle.sin()


def falling_levels(steps: int) -> tuple[float, ...]:
    """The levels 1, 1 - 1/K, ..., 1/K, 0 of K steps."""
    return tuple(1 - k / steps for k in range(steps + 1))


def noised(clean: Tensor, noise: Tensor, level: Tensor, schedule: Schedule = cosine) -> Tensor:
    """z_t = alpha_t c + beta_t eps, of latents `(batch, dims, frames)` at levels `(batch,)`."""
    alpha, beta = schedule(level[:, None, None])
    return alpha * clean + beta * noise


def v_target(clean: Tensor, noise: Tensor, level: Tensor, schedule: Schedule = cosine) -> Tensor:
    """v = alpha_t eps - beta_t c (Salimans and Ho, 2022)."""
    alpha, beta = schedule(level[:, None, None])
    return alpha * noise - beta * clean


def clean_from_v(noisy: Tensor, v: Tensor, level: Tensor, schedule: Schedule = cosine) -> Tensor:
    """c = alpha_t z_t - beta_t v."""
    alpha, beta = schedule(level[:, None, None])
    return alpha * noisy - beta * v


def denoiser(unet: VPredictor, mix: Tensor, schedule: Schedule = cosine) -> Denoiser:
    """The conditional denoiser for mix latents `(batch, mix_dims, frames)`; zeros make it unconditional.

    Planes of what is asked for may follow the mix's dims (`conditions.py`).
    """

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        return clean_from_v(noisy, unet(noisy, level, mix), level, schedule)

    return estimate


def without_mix(mix: Tensor, dropped: Tensor) -> Tensor:
    """Mix latents with those of the examples marked in `dropped` `(batch,)` set to zero (15 % in training)."""
    return mix * ~dropped[:, None, None]


def v_loss(
    unet: VPredictor, clean: Tensor, mix: Tensor, *, noise: Tensor, level: Tensor, schedule: Schedule = cosine
) -> Tensor:
    """Mean squared error of v for each example, `(batch,)`; a function of its arguments alone."""
    v = unet(noised(clean, noise, level, schedule), level, mix)
    return (v - v_target(clean, noise, level, schedule)).square().mean(dim=(1, 2))
