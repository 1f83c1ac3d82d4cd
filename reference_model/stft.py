"""STFT whose frames tile the signal, so that whole groups of frames centre on latent frames.

Frame j is centred on sample (j + 1/2) hop: n hops of audio give exactly n frames, and the audio outside counts as
zero.  Magnitudes are scaled so that a sine at full scale has magnitude 1 in its bin.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def hann(window: int, like: Tensor) -> Tensor:
    """Periodic Hann window on the device of `like`."""
    return torch.hann_window(window, device=like.device, dtype=torch.float32)


def stft(audio: Tensor, window: int, hop: int) -> Tensor:
    """`(..., samples)` to complex `(..., frames, bins)`; samples a multiple of `hop`."""
    margin = (window - hop) // 2
    frames = F.pad(audio.float(), (margin, window - hop - margin)).unfold(-1, window, hop)
    return torch.fft.rfft(frames * (hann(window, audio) * (4.0 / window)))


def istft(spectrum: Tensor, window: int, hop: int) -> Tensor:
    """Least-squares inverse of `stft`: complex `(..., frames, bins)` to `(..., frames * hop)`."""
    taper = hann(window, spectrum)
    frames = torch.fft.irfft(spectrum, n=window) * (taper * (window / 4.0))
    margin, length = (window - hop) // 2, spectrum.shape[-2] * hop
    envelope = _OverlapAdd.apply((taper**2).expand(spectrum.shape[-2], -1), hop)
    signal = _OverlapAdd.apply(frames, hop)[..., margin : margin + length]
    return signal / envelope[margin : margin + length].clamp(min=1e-8)


def magnitude(spectrum: Tensor) -> Tensor:
    """|S| of a complex tensor; several times faster on CPUs than `abs`, forward and backward."""
    return _Magnitude.apply(spectrum)


class _Magnitude(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, spectrum: Tensor) -> Tensor:
        parts = torch.view_as_real(spectrum)
        size = (parts[..., 0].square() + parts[..., 1].square()).sqrt()
        context.save_for_backward(spectrum, size)
        return size

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        spectrum, size = context.saved_tensors
        scale = gradients[0] / size.clamp(min=1e-12)
        return scaled(spectrum, scale)


def scaled(spectrum: Tensor, factor: Tensor) -> Tensor:
    """Complex times real, without the detour through complex arithmetic."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * factor.unsqueeze(-1))


class _OverlapAdd(torch.autograd.Function):
    """`(..., frames, window)` to `(..., (frames - 1) * hop + window)`, window a multiple of hop."""

    @staticmethod
    def forward(context: Any, frames: Tensor, hop: int) -> Tensor:
        context.window, context.hop = frames.shape[-1], hop
        count, overlap = frames.shape[-2], frames.shape[-1] // hop
        total = frames.new_zeros(*frames.shape[:-2], count + overlap - 1, hop)
        for k in range(overlap):
            total[..., k : k + count, :] += frames[..., k * hop : (k + 1) * hop]
        return total.flatten(-2)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].unfold(-1, context.window, context.hop), None
