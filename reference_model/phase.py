"""Phase: the fixed noise it starts from, and its integration from the steps that a network or magnitudes give.

A convolutional decoder cannot give the phase itself: of a steady tone it sees the same in every frame, but the phase
moves on. What it can give is how the phase moves, in time and over frequency, and that is integrated here, strongest
bins first (phase gradient heap integration; Prusa, Balazs, Sondergaard 2017).  # Not in the paper.
"""

from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch import Tensor

from reference_model.stft import istft, magnitude, scaled, stft

TOLERANCE = 1e-4
"""Bins below this share of the loudest keep the phase they are given."""


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


# Steps of the phase, and its integration


def neutral_advance(bins: int, overlap: int, device: torch.device | str = "cpu") -> Tensor:
    """Phase advance in a hop of a sinusoid at each bin's own frequency, `(bins,)`, with `overlap` hops in a window."""
    return 2 * torch.pi * (torch.arange(bins, device=device) % overlap) / overlap


def steps_from_magnitude(log_magnitude: Tensor, window: int, hop: int) -> tuple[Tensor, Tensor]:
    """Phase steps in time and over frequency, beyond the neutral ones, that log magnitudes `(..., frames, bins)` imply.

    For a Gaussian window log magnitude and phase are two sides of one analytic function; a Hann window is nearly one
    (gamma = 0.25645 window^2; Prusa et al. 2017).  Both steps are from the frame or bin before.
    """
    scale = hop * window / (0.25645 * window**2)
    over_bins, over_frames = torch.gradient(log_magnitude, dim=(-1, -2))
    advance, delay = scale * over_bins, -over_frames / scale
    advance[..., 1:, :] = (advance[..., 1:, :] + advance[..., :-1, :]) / 2
    delay[..., 1:] = (delay[..., 1:] + delay[..., :-1]) / 2
    return advance, delay


@dataclass(frozen=True)
class PhaseState:
    """Magnitude and phase `(batch, bins)` of a frame: what the phase of the next is integrated from."""

    magnitude: np.ndarray
    phase: np.ndarray


def integrated(
    size: Tensor, advance: Tensor, delay: Tensor, initial: Tensor, *, overlap: int, before: PhaseState | None = None
) -> tuple[Tensor, PhaseState]:
    """Phase `(batch, frames, bins)` of magnitudes `size` from its steps, and what the frames that follow need.

    `advance` and `delay` are the steps from the frame and from the bin before, beyond `neutral_advance` and pi.
    `initial` `(frames, bins)` is the phase of what nothing determines. Without gradients.
    """
    advance = advance + neutral_advance(size.shape[-1], overlap, size.device)
    sizes, advances, delays = (x.detach().cpu().numpy() for x in (size, advance, delay + torch.pi))
    first, silent = initial.cpu().numpy(), np.zeros_like(sizes[:, 0])
    last = PhaseState(silent, silent) if before is None else before
    phase = np.stack(
        [
            integrate(sizes[clip], advances[clip], delays[clip], first, last.magnitude[clip], last.phase[clip])
            for clip in range(len(sizes))
        ]
    )
    return torch.from_numpy(phase).to(size.device), PhaseState(sizes[:, -1].copy(), phase[:, -1].copy())


@numba.njit(cache=True, nogil=True, inline="always")
def _sink(heap: np.ndarray, count: int, item: np.int64, place: int) -> None:
    """Put an item into a heap of `count` (largest first) at `place`, or as far below as it belongs."""
    child = 2 * place + 1
    while child < count:
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if item > heap[child]:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = item


@numba.njit(cache=True, nogil=True, inline="always")
def _rise(heap: np.ndarray, place: int, item: np.int64) -> None:
    """Put an item at the free `place`, or as far above as it belongs."""
    while place > 0 and item > heap[(place - 1) // 2]:
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = item


@numba.njit(cache=True, nogil=True)
def integrate(
    magnitude: np.ndarray,
    advance: np.ndarray,
    delay: np.ndarray,
    initial: np.ndarray,
    before: np.ndarray,
    phase_before: np.ndarray,
) -> np.ndarray:
    """Phases `(frames, bins)` of magnitudes `(frames, bins)`.

    `advance[n, k]` is phase[n, k] - phase[n - 1, k], `delay[n, k]` is phase[n, k] - phase[n, k - 1].  `initial` holds
    the phase of bins that nothing determines; `before` and `phase_before` `(bins,)` magnitude and phase of the frame
    before the first (zeros at the start of a file).
    """
    frames, bins = magnitude.shape
    result = initial.copy()
    # What may be popped: bin k of the frame before as k, of the current frame as bins + k. An entry holds the bits of
    # its magnitude, which are ordered as floats from 0 are, and below them its number, counted down: one comparison.
    sizes = np.empty(2 * bins, np.float32)
    bits, entry, last = sizes.view(np.int32), np.empty(2 * bins, np.int64), 2 * bins - 1
    heap = np.empty(2 * bins, np.int64)
    open_ = np.zeros(bins + 4, np.bool_)  # bin k at k + 2: there is nothing to determine beyond the ends
    for n in range(frames):
        current, phase = magnitude[n], result[n]
        for k in range(bins):
            sizes[k], sizes[bins + k] = before[k], current[k]
        for k in range(2 * bins):
            entry[k] = (np.int64(bits[k]) << 32) | (last - k)
        floor = max(current.max(), before.max()) * TOLERANCE
        left, count = 0, 0
        for k in range(bins):
            open_[k + 2] = current[k] > floor
            if open_[k + 2]:
                left += 1
                if before[k] > floor:
                    heap[count] = entry[k]
                    count += 1
        for place in range(count // 2 - 1, -1, -1):
            _sink(heap, count, heap[place], place)
        while left > 0:
            if count == 0:  # a new sound: its loudest bin keeps the initial phase
                k = -1
                for other in range(bins):
                    if open_[other + 2] and (k < 0 or current[other] > current[k]):
                        k = other
                open_[k + 2] = False
                left -= 1
                heap[0], count = entry[bins + k], 1
            k = last - (heap[0] & 0xFFFFFFFF)
            # Up to two bins get their phase; those with open neighbours of their own take the popped entry's place.
            new, second = np.int64(0), np.int64(0)
            if k < bins:
                if open_[k + 2]:
                    phase[k] = phase_before[k] + advance[n, k]
                    open_[k + 2] = False
                    left -= 1
                    if open_[k + 1] or open_[k + 3]:
                        new = entry[bins + k]
            else:
                k -= bins
                if open_[k + 3]:
                    phase[k + 1] = phase[k] + delay[n, k + 1]
                    open_[k + 3] = False
                    left -= 1
                    if open_[k + 4]:
                        new = entry[bins + k + 1]
                if open_[k + 1]:
                    phase[k - 1] = phase[k] - delay[n, k]
                    open_[k + 1] = False
                    left -= 1
                    if open_[k]:
                        new, second = entry[bins + k - 1], new
            if new == 0:
                count -= 1
                new = heap[count]
            if count > 0:
                _sink(heap, count, new, 0)
            if second != 0:
                _rise(heap, count, second)
                count += 1
        before, phase_before = current, phase
    return result


# Phase from magnitudes alone, to compare with


def griffin_lim(size: Tensor, phasor: Tensor, window: int, hop: int, iterations: int) -> Tensor:
    """Phasors `(..., frames, bins)` made consistent with the magnitudes `size` (Griffin and Lim 1984)."""
    for _ in range(iterations):
        spectrum = stft(istft(scaled(phasor, size), window, hop), window, hop)
        phasor = scaled(spectrum, 1 / magnitude(spectrum).clamp(min=1e-20))
    return phasor
