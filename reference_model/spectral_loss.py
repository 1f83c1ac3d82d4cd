"""Reconstruction losses (paper, section 3.1), each equation a function, and those that the `small` preset adds.

Not in the paper: whether ||.||_1 sums or averages and how the STFT is scaled.  We average over all elements; with the
usual unscaled STFT the printed weights (25 and 0.002) then give terms of the same order.
"""

import librosa
import numpy as np
import torch
from torch import Tensor

from reference_model.config import SAMPLE_RATE
from reference_model.stft import magnitude, stft

MSSD_HOPS = (2**5, 2**6, 2**7, 2**8, 2**9, 2**11, 2**12)
"""Hops of L_mssd; windows are four hops."""


def reconstruction_loss(decoded: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """L_rec = E || D(E(s))_mag - s ||_1 of log magnitudes `(..., bins)`.

    `weight` broadcasts over the bins and is normalised to mean 1.  # Not in the paper: the weight.
    """
    distance = (decoded - target).abs()
    return distance.mean() if weight is None else (distance * (weight / weight.mean())).mean()


def draw_hops(generator: np.random.Generator, count: int | None) -> tuple[int, ...]:
    """`count` of the resolutions of L_mssd without repetition, all of them for None."""
    if count is None or count >= len(MSSD_HOPS):
        return MSSD_HOPS
    return tuple(MSSD_HOPS[index] for index in generator.choice(len(MSSD_HOPS), count, replace=False))


def multi_scale_spectral_distance(audio: Tensor, target: Tensor, hops: tuple[int, ...] = MSSD_HOPS) -> Tensor:
    """L_mssd = E sum_h || STFT_h(w)^2 - STFT_h(w~)^2 ||_1 of `(..., samples)`.

    With fewer than all hops the sum is scaled up to all seven, so that a random draw is an unbiased estimate of it
    at a fraction of the time.
    """
    total = torch.zeros((), device=audio.device)
    for hop in hops:
        # The unscaled STFT: ours divides by the window's sum.
        first, second = (magnitude(stft(_whole_hops(x, hop), 4 * hop, hop)) * hop for x in (audio, target))
        total = total + (first.square() - second.square()).abs().mean()
    return total * (len(MSSD_HOPS) / len(hops))


def band_level_loss(decoded: Tensor, target: Tensor, bands: Tensor, *, floor: float = 1e-4) -> Tensor:
    """Mean absolute difference in log level of mel bands, of magnitudes `(..., bins)` with `bands` `(bins, bands)`.

    Not in the paper.  The median of a noisy bin's log magnitude, which L_rec asks for, lies below its mean power;
    this holds the level where L_rec would let it sink.
    """
    first, second = ((x.square() @ bands + floor**2).log() / 2 for x in (decoded, target))
    return (first - second).abs().mean()


def mel_bands(window: int, count: int = 128) -> Tensor:
    """Mel filters `(window // 2 + 1, count)` from 20 Hz up, each with a peak of 1 and no filter empty."""
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=window, n_mels=count, fmin=20.0, norm=None)
    centres = librosa.mel_frequencies(count + 2, fmin=20.0, fmax=SAMPLE_RATE / 2)[1:-1]
    nearest = np.round(centres * window / SAMPLE_RATE).astype(int)
    filters[np.arange(count), nearest] = np.maximum(filters[np.arange(count), nearest], 0.5)
    return torch.from_numpy(filters.T.copy()).float()


def _whole_hops(audio: Tensor, hop: int) -> Tensor:
    return audio[..., : audio.shape[-1] // hop * hop]
