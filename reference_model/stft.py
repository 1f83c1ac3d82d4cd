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
    return torch.fft.rfft(tiles(audio, window, hop) * (hann(window, audio) * (4.0 / window)))


def tiles(audio: Tensor, window: int, hop: int) -> Tensor:
    """The frames of `stft` before the window, `(..., frames, window)`, a view of the padded audio."""
    margin = (window - hop) // 2
    return F.pad(audio.float(), (margin, window - hop - margin)).unfold(-1, window, hop)


def istft(spectrum: Tensor, window: int, hop: int) -> Tensor:
    """Least-squares inverse of `stft`: complex `(..., frames, bins)` to `(..., frames * hop)`."""
    taper = hann(window, spectrum)
    frames = torch.fft.irfft(spectrum, n=window) * (taper * (window / 4.0))
    margin, length = (window - hop) // 2, spectrum.shape[-2] * hop
    envelope = _OverlapAdd.apply((taper**2).expand(spectrum.shape[-2], -1), hop)
    signal = _OverlapAdd.apply(frames, hop)[..., margin : margin + length]
    return signal / envelope[margin : margin + length].clamp(min=1e-8)


class StreamingInverse:
    """`istft` without gradients, of frames that come in pieces: each gives the samples that no later frame changes."""

    def __init__(self, window: int, hop: int) -> None:
        self.window, self.hop = window, hop
        self._unheard = (window - hop) // 2  # samples of the first frames that lie before the signal
        self._sum: Tensor | None = None
        self._envelope = torch.zeros(0)
        """Of what later frames change: the sum of frames `(..., overlap - 1, hop)` and of the squared windows."""

    def add(self, spectrum: Tensor) -> Tensor:
        """Complex `(..., frames, bins)` to the samples `(..., samples)` that are complete with them."""
        taper = hann(self.window, spectrum)
        frames = torch.fft.irfft(spectrum, n=self.window).mul_(taper * (self.window / 4.0))
        count, overlap = frames.shape[-2], self.window // self.hop
        total = frames.new_zeros(*frames.shape[:-2], count + overlap - 1, self.hop)
        envelope = taper.new_zeros(count + overlap - 1, self.hop)
        if self._sum is not None:
            total[..., : overlap - 1, :] = self._sum
            envelope[: overlap - 1] = self._envelope
        for k in range(overlap):
            part = slice(k * self.hop, (k + 1) * self.hop)
            total[..., k : k + count, :] += frames[..., part]
            envelope[k : k + count] += taper[part].square()
        self._sum, self._envelope = total[..., count:, :], envelope[count:]
        return self._signal(total[..., :count, :], envelope[:count])

    def rest(self) -> Tensor:
        """The last samples: after it, n frames have given n hops of samples."""
        assert self._sum is not None, "no frames were added"
        missing = (self.window - self.hop) // 2 - self._unheard
        return self._signal(self._sum, self._envelope)[..., :missing]

    def _signal(self, total: Tensor, envelope: Tensor) -> Tensor:
        signal = (total / envelope.clamp(min=1e-8)).flatten(-2)
        before = min(self._unheard, signal.shape[-1])
        self._unheard -= before
        return signal[..., before:]


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
