"""Phase: the fixed noise a phase head starts from, Griffin-Lim, and losses that do not mind a phase's origin."""

import torch
from torch import Tensor

from reference_model.stft import istft, stft


def _unit_noise(index: int, shape: tuple[int, ...]) -> Tensor:
    angle = 2 * torch.pi * torch.rand(shape, generator=torch.Generator().manual_seed(index))
    return torch.polar(torch.ones(shape), angle)


def noise_phase(first: int, frames: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Random unit phasors `(frames, *shape)` that depend on the absolute latent frame alone.

    So a long file decoded in chunks equals the file decoded whole.  Where a phase head is unsure (its output is
    short), the phase stays noise, which sounds better than the buzz of a constant.  # Not in the paper.
    """
    return torch.stack([_unit_noise(first + index, shape) for index in range(frames)]).to(device)


def unit(phasor: Tensor, eps: float = 1e-8) -> Tensor:
    """The phasor at length one, with a bounded gradient at zero."""
    return phasor * torch.rsqrt(phasor.real.square() + phasor.imag.square() + eps)


def griffin_lim(magnitude: Tensor, phasor: Tensor, window: int, hop: int, iterations: int) -> Tensor:
    """Phasors of `(..., frames, bins)` made consistent with the magnitude (Griffin and Lim 1984)."""
    for _ in range(iterations):
        phasor = unit(stft(istft(magnitude * phasor, window, hop), window, hop), eps=1e-20)
    return phasor


def phase_losses(phasor: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How far predicted phasors are from a target spectrum, up to what cannot be known from magnitudes.

    Both complex `(batch, 2, frames, bins)`; `phasor` holds the mid's phase and the side's relative to the mid,
    `target` mid and side.  Not in the paper.  Each loss is 0 at the target, 1 for random phase:

    - `frequency`: the mid's phase advance from frame to frame (instantaneous frequency),
    - `delay`: its phase difference from bin to bin (group delay),
    - `side`: the side's phase relative to the mid's.

    Distances are 1 - cos, which does not mind wrapping, weighted by magnitude, every clip the same.
    """
    mid, side = target.unbind(1)
    relative = side * mid.conj()
    return {
        "frequency": _phase_distance(phasor[:, 0, 1:] * phasor[:, 0, :-1].conj(), mid[:, 1:] * mid[:, :-1].conj()),
        "delay": _phase_distance(
            phasor[:, 0, :, 1:] * phasor[:, 0, :, :-1].conj(), mid[..., 1:] * mid[..., :-1].conj()
        ),
        "side": _phase_distance(phasor[:, 1], relative),
    }


def _phase_distance(predicted: Tensor, product: Tensor) -> Tensor:
    """Weighted mean of 1 - cos between unit phasors and products of two spectra."""
    direction = unit(product, eps=1e-20)
    weight = product.abs().sqrt()
    distance = 1 - (predicted * direction.conj()).real
    return ((distance * weight).sum((1, 2)) / (weight.sum((1, 2)) + 1e-2)).mean()
