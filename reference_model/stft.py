"""STFT whose frames tile the signal, so that whole groups of frames centre on latent frames.

Frame j is centred on sample (j + 1/2) hop: n hops of audio give exactly n frames, and the audio outside counts as
zero.  Magnitudes are scaled so that a sine at full scale has magnitude 1 in its bin.
"""

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
    return torch.fft.rfft(frames * hann(window, audio)) * (4.0 / window)


def istft(spectrum: Tensor, window: int, hop: int) -> Tensor:
    """Least-squares inverse of `stft`: complex `(..., frames, bins)` to `(..., frames * hop)`."""
    taper = hann(window, spectrum)
    frames = torch.fft.irfft(spectrum * (window / 4.0), n=window) * taper
    margin, length = (window - hop) // 2, spectrum.shape[-2] * hop
    envelope = _overlap_add((taper**2).expand(spectrum.shape[-2], -1), hop)
    signal = _overlap_add(frames, hop)[..., margin : margin + length]
    return signal / envelope[margin : margin + length].clamp(min=1e-8)


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """`(..., frames, window)` to `(..., (frames - 1) * hop + window)`, window a multiple of hop."""
    count, overlap = frames.shape[-2], frames.shape[-1] // hop
    slices = frames.unflatten(-1, (overlap, hop))
    padded = (F.pad(slices[..., k, :], (0, 0, k, overlap - 1 - k)) for k in range(overlap))
    total = torch.stack(list(padded)).sum(0)
    return total.reshape(*frames.shape[:-2], (count + overlap - 1) * hop)
