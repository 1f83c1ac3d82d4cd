"""Phase: the fixed noise it starts from, Griffin-Lim, and losses that do not mind a phase's origin."""

import torch
from torch import Tensor

from reference_model.stft import istft, magnitude, scaled, stft


def noise_phase(first: int, frames: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Random angles `(frames, *shape)` that depend on the absolute latent frame alone.

    So a long file decoded in chunks equals the file decoded whole.  It is the phase of what nothing else determines:
    bins above the network's, bins far below the loudest, and the first of a new sound.  # Not in the paper.
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


def phase_losses(cosine: Tensor, sine: Tensor, target: Tensor, *, overlap: int | None) -> dict[str, Tensor]:
    """How far predicted phases are from a target spectrum, up to what cannot be known from magnitudes.

    `cosine` and `sine` hold the head's phasors `(batch, phasors, frames, bins)`; complex `target` `(batch, 2, frames,
    bins)` holds mid and side.  With `overlap`, the hops in a window, the phasors are the mid's step from the
    frame before, its step from the bin below (beyond `neutral_advance` and pi), and the side's phase relative to the
    mid's; without, the mid's phase itself and the relative one.  Not in the paper.  Each loss is 0 at the target, 1 for
    random phase:

    - `frequency`: the mid's phase advance from frame to frame (instantaneous frequency),
    - `delay`: its phase difference from bin to bin (group delay),
    - `side`: the side's phase relative to the mid's.

    Distances are 1 - cos, which does not mind wrapping, weighted by magnitude, every clip the same.
    """
    with torch.no_grad():
        mid, side = target.unbind(1)
        mid_cosine, mid_sine, size = _polar(mid)
        relative_cosine, relative_sine, product = _polar(side * mid.conj())
    losses = {}
    for index, (name, axis) in enumerate((("frequency", 1), ("delay", 2))):
        after, before = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
        real = mid_cosine[after] * mid_cosine[before] + mid_sine[after] * mid_sine[before]
        imaginary = mid_sine[after] * mid_cosine[before] - mid_cosine[after] * mid_sine[before]
        if overlap is not None:
            step = (cosine[:, index][after], sine[:, index][after])
            neutral = (
                neutral_advance(mid.shape[2], overlap, mid.device)
                if axis == 1
                else torch.tensor(torch.pi, device=mid.device)
            )
            turn = (neutral.cos(), neutral.sin())
            step = (step[0] * turn[0] - step[1] * turn[1], step[1] * turn[0] + step[0] * turn[1])
        else:
            c, s = cosine[:, 0], sine[:, 0]
            step = (c[after] * c[before] + s[after] * s[before], s[after] * c[before] - c[after] * s[before])
        losses[name] = _weighted(real * step[0] + imaginary * step[1], (size[after] * size[before]).sqrt())
    agreement = cosine[:, -1] * relative_cosine + sine[:, -1] * relative_sine
    return {**losses, "side": _weighted(agreement, product.sqrt())}


def neutral_advance(bins: int, overlap: int, device: torch.device | str = "cpu") -> Tensor:
    """Phase advance in a hop of a sinusoid at each bin's own frequency, `(bins,)`, with `overlap` hops in a window."""
    return 2 * torch.pi * (torch.arange(bins, device=device) % overlap) / overlap


def _polar(spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = magnitude(spectrum)
    inverse = 1 / size.clamp(min=1e-20)
    return spectrum.real * inverse, spectrum.imag * inverse, size


def _weighted(agreement: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of 1 - agreement for each clip, mean over clips."""
    return (((1 - agreement) * weight).sum((1, 2)) / (weight.sum((1, 2)) + 1e-2)).mean()
