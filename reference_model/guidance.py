"""Classifier-free guidance with rescale: from two denoisers to one.

The paper prints c + lambda (unconditional - conditional), which at positive lambda moves away from the mix. This is
the usual form, which its figures mean: unconditional + w (conditional - unconditional), where w = 1 is the plain
conditional model and w = 0 the unconditional one.
"""

from collections.abc import Callable

from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
DenoiserPair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(noisy latent, level) -> (conditional, unconditional) estimate, from one evaluation of a doubled batch."""


def combine(conditional: Tensor, unconditional: Tensor, weight: float, phi: float) -> Tensor:
    """x_cfg = u + w (c - u), then phi x_cfg std(c) / std(x_cfg) + (1 - phi) x_cfg (Lin et al., 2023).

    All `(batch, dims, frames)`; the deviations are those of a clip, over dims and frames.
    """
    guided = unconditional + weight * (conditional - unconditional)
    if phi == 0:
        return guided
    deviations = [x.std(dim=(1, 2), keepdim=True, correction=0) for x in (conditional, guided)]
    ratio = deviations[0] / deviations[1].clamp(min=1e-8)
    return phi * guided * ratio + (1 - phi) * guided


def guided(conditional: Denoiser, unconditional: Denoiser, weight: float, phi: float = 0.0) -> Denoiser:
    """The guided denoiser; at w = 1 and w = 0 it is one of the two, and the other is never evaluated.

    With phi > 0 the estimate's deviation is drawn towards that of the conditional one (not at w = 0, where there is
    no condition to follow).

    Raises:
        ValueError: phi is outside [0, 1].
    """
    _check(phi)
    if weight == 1:
        return conditional
    if weight == 0:
        return unconditional

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        return combine(conditional(noisy, level), unconditional(noisy, level), weight, phi)

    return estimate


def guided_pair(pair: DenoiserPair, weight: float, phi: float = 0.0) -> Denoiser:
    """As `guided`, from a pair that evaluates both at once: faster on a GPU, twice the work at w = 0 and w = 1."""
    _check(phi)

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        conditional, unconditional = pair(noisy, level)
        return unconditional if weight == 0 else combine(conditional, unconditional, weight, phi)

    return estimate


def _check(phi: float) -> None:
    if not 0 <= phi <= 1:
        raise ValueError(f"phi must be in [0, 1], got {phi}")
