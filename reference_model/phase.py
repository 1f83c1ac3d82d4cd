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
