"""Phase: the fixed noise a phase head starts from, Griffin-Lim, and losses that do not mind a phase's origin."""

import torch
from torch import Tensor

from reference_model.stft import istft, magnitude, scaled, stft


def noise_phase(first: int, frames: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Random angles `(frames, *shape)` that depend on the absolute latent frame alone.

    So a long file decoded in chunks equals the file decoded whole.  Where a phase head is unsure (its output is
    short), the phase stays noise, which sounds better than the buzz of a constant.  # Not in the paper.
    """
    generators = (torch.Generator().manual_seed(first + index) for index in range(frames))
    return 2 * torch.pi * torch.stack([torch.rand(shape, generator=each) for each in generators]).to(device)


def unit(cosine: Tensor, sine: Tensor, eps: float = 1e-8) -> tuple[Tensor, Tensor]:
    """The phasor at length one, with a bounded gradient at zero."""
    scale = torch.rsqrt(cosine.square() + sine.square() + eps)
    return cosine * scale, sine * scale


def griffin_lim(size: Tensor, phasor: Tensor, window: int, hop: int, iterations: int) -> Tensor:
    """Phasors `(..., frames, bins)` made consistent with the magnitudes `size` (Griffin and Lim 1984)."""
    for _ in range(iterations):
        spectrum = stft(istft(scaled(phasor, size), window, hop), window, hop)
        phasor = scaled(spectrum, 1 / magnitude(spectrum).clamp(min=1e-20))
    return phasor


def phase_losses(cosine: Tensor, sine: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How far predicted phases are from a target spectrum, up to what cannot be known from magnitudes.

    `cosine` and `sine` `(batch, 2, frames, bins)` hold the mid's phase and the side's relative to the mid; complex
    `target` of the same shape holds mid and side.  Not in the paper.  Each loss is 0 at the target, 1 for random phase:

    - `frequency`: the mid's phase advance from frame to frame (instantaneous frequency),
    - `delay`: its phase difference from bin to bin (group delay),
    - `side`: the side's phase relative to the mid's.

    Distances are 1 - cos, which does not mind wrapping, weighted by magnitude, every clip the same.
    """
    with torch.no_grad():
        mid, side = target.unbind(1)
        mid_cosine, mid_sine, size = _polar(mid)
        relative_cosine, relative_sine, product = _polar(side * mid.conj())
    # e = p conj(t), so that Re(e_j conj(e_i)) compares the predicted step from i to j with the target's.
    real = cosine[:, 0] * mid_cosine + sine[:, 0] * mid_sine
    imaginary = sine[:, 0] * mid_cosine - cosine[:, 0] * mid_sine
    losses = {}
    for name, axis in (("frequency", 1), ("delay", 2)):
        last, first = (slice(1, None), slice(None, -1))
        after, before = ((slice(None),) * axis + (part,) for part in (last, first))
        agreement = real[after] * real[before] + imaginary[after] * imaginary[before]
        losses[name] = _weighted(agreement, (size[after] * size[before]).sqrt())
    agreement = cosine[:, 1] * relative_cosine + sine[:, 1] * relative_sine
    return {**losses, "side": _weighted(agreement, product.sqrt())}


def _polar(spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = magnitude(spectrum)
    inverse = 1 / size.clamp(min=1e-20)
    return spectrum.real * inverse, spectrum.imag * inverse, size


def _weighted(agreement: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of 1 - agreement for each clip, mean over clips."""
    return (((1 - agreement) * weight).sum((1, 2)) / (weight.sum((1, 2)) + 1e-2)).mean()
