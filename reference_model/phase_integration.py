"""Phase from its derivatives, strongest bins first (phase gradient heap integration; Prusa, Balazs, Sondergaard 2017).

A convolutional decoder cannot give the phase itself: of a steady tone it sees the same in every frame, but the phase
moves on.  What it can give is how the phase moves, in time and over frequency.
"""

import heapq

import numba
import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-4
"""Bins below this share of the loudest keep the phase they are given."""


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
    for n in range(frames):
        current, phase = magnitude[n], result[n]
        floor = max(current.max(), before.max()) * TOLERANCE
        open_ = current > floor
        left = open_.sum()
        heap: list = [(current[0], False, 0)][:0]  # empty, of a type that numba knows
        for k in range(bins):
            if open_[k] and before[k] > floor:
                heapq.heappush(heap, (-before[k], False, k))
        while left > 0:
            if len(heap) == 0:
                best = np.argmax(np.where(open_, current, -1.0))
                open_[best] = False
                left -= 1
                heapq.heappush(heap, (-current[best], True, best))
            _, is_current, k = heapq.heappop(heap)
            if not is_current:
                if open_[k]:
                    phase[k] = phase_before[k] + advance[n, k]
                    open_[k] = False
                    left -= 1
                    heapq.heappush(heap, (-current[k], True, k))
                continue
            if k + 1 < bins and open_[k + 1]:
                phase[k + 1] = phase[k] + delay[n, k + 1]
                open_[k + 1] = False
                left -= 1
                heapq.heappush(heap, (-current[k + 1], True, k + 1))
            if k > 0 and open_[k - 1]:
                phase[k - 1] = phase[k] - delay[n, k]
                open_[k - 1] = False
                left -= 1
                heapq.heappush(heap, (-current[k - 1], True, k - 1))
        before, phase_before = current, phase
    return result


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
