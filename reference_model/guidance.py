"""Classifier-free guidance with rescale (paper, section 3.4): conditional and unconditional estimate become one.

The paper prints c + lambda (unconditional - conditional), which at positive lambda moves away from the mix. This is
the usual form, which its figures mean: unconditional + w (conditional - unconditional), where w = 1 is the plain
conditional model and w = 0 the unconditional one. If only the sign in the paper is a misprint, its lambda is w - 1.

# Not in the paper: the order. The estimates are guided first, then rescaled, and grounding, where there is a style,
# moves the mean of the result (`pipeline.BassAccompaniment.generate_latents`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reference_model.diffusion import Denoiser


def combine(conditional: Tensor, unconditional: Tensor, weight: float, phi: float) -> Tensor:
    """x_cfg = u + w (c - u), then phi x_cfg std(c) / std(x_cfg) + (1 - phi) x_cfg (Lin et al., 2023).

    All `(batch, dims, frames)`; the deviations are those of a clip, over dims and frames.
    """
    return rescaled(unconditional + weight * (conditional - unconditional), conditional, phi)


def rescaled(guided: Tensor, conditional: Tensor, phi: float) -> Tensor:
    """phi x std(c) / std(x) + (1 - phi) x of a guided estimate x."""
    if phi == 0:
        return guided
    deviations = [x.std(dim=(1, 2), keepdim=True, correction=0) for x in (conditional, guided)]
    ratio = deviations[0] / deviations[1].clamp(min=1e-8)
    return phi * guided * ratio + (1 - phi) * guided


def guided(model: Callable[[Tensor], Denoiser], condition: Tensor, weight: float, phi: float = 0.0) -> Denoiser:
    """The guided denoiser of a model that gives the denoiser for a condition; zeros are no condition.

    Both estimates come from one evaluation of a doubled batch. At w = 1 and w = 0 one of them is the result, and the
    other is never evaluated. With phi > 0 the estimate's deviation is drawn towards that of the conditional one (not
    at w = 0, where there is no condition to follow).

    Raises:
        ValueError: phi is outside [0, 1].
    """
    _refuse_phi(phi)
    if weight == 1:
        return model(condition)
    if weight == 0:
        return model(torch.zeros_like(condition))
    both = model(torch.cat([condition, torch.zeros_like(condition)]))

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        conditional, unconditional = both(torch.cat([noisy, noisy]), torch.cat([level, level])).chunk(2)
        return combine(conditional, unconditional, weight, phi)

    return estimate


def guided_twice(
    model: Callable[[Tensor], Denoiser],
    condition: Tensor,
    more: Tensor,
    weight: float,
    more_weight: float,
    phi: float = 0.0,
) -> Denoiser:
    """The denoiser guided by a condition, and by what more is asked for with a weight of its own.

    Not in the paper. F = F_0 + w (F_c - F_0) + w_m (F_m - F_c), where F_m sees `more`: the condition (here the mix) and
    more (here the notes) in one tensor of the condition's shape. So w_m = 0 is `guided`, and w_m = w guides by both
    together. Only estimates with a share in the result are evaluated, in one batch. With phi > 0 the estimate's
    deviation is drawn towards that of F_m.

    Raises:
        ValueError: phi is outside [0, 1].
    """
    if more_weight == 0:
        return guided(model, condition, weight, phi)
    _refuse_phi(phi)
    terms = [
        (1 - weight, torch.zeros_like(condition)),
        (weight - more_weight, condition),
        (more_weight, more),
    ]
    shares, seen = zip(*(term for term in terms if term[0]), strict=True)
    if len(seen) == 1:
        return model(more)
    together = model(torch.cat(seen))

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        count = len(seen)
        estimates = together(noisy.repeat(count, 1, 1), level.repeat(count)).chunk(count)
        mixed = torch.stack([share * one for share, one in zip(shares, estimates, strict=True)]).sum(dim=0)
        return rescaled(mixed, estimates[-1], phi)

    return estimate


def _refuse_phi(phi: float) -> None:
    if not 0 <= phi <= 1:
        raise ValueError(f"phi must be in [0, 1], got {phi}")
