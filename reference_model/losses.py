"""Losses of an autoencoder (paper, section 3.1), each equation a function, those that `small` adds, and all together.

Not in the paper: whether ||.||_1 sums or averages and how the STFT is scaled.  We average over all elements; with the
usual unscaled STFT the printed weights (25 and 0.002) then give terms of the same order.
"""

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from reference_model.autoencoder import Autoencoder, Spectrum
from reference_model.phase import neutral_advance
from reference_model.presets import SAMPLE_RATE
from reference_model.stft import magnitude, stft

MSSD_HOPS = (2**5, 2**6, 2**7, 2**8, 2**9, 2**11, 2**12)
"""Hops of L_mssd; windows are four hops."""


# The paper's; its adversarial loss is in `reference_model.critics`


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


def _whole_hops(audio: Tensor, hop: int) -> Tensor:
    return audio[..., : audio.shape[-1] // hop * hop]


# Those that `small` adds


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
    # The neutral steps in time and over frequency, which the phasors' come on top of.
    turns = neutral_advance(mid.shape[2], overlap or 1, mid.device), torch.tensor(torch.pi, device=mid.device)
    for index, (name, axis) in enumerate((("frequency", 1), ("delay", 2))):
        after, before = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
        real = mid_cosine[after] * mid_cosine[before] + mid_sine[after] * mid_sine[before]
        imaginary = mid_sine[after] * mid_cosine[before] - mid_cosine[after] * mid_sine[before]
        if overlap is not None:
            step = (cosine[:, index][after], sine[:, index][after])
            turn = turns[index].cos(), turns[index].sin()
            step = (step[0] * turn[0] - step[1] * turn[1], step[1] * turn[0] + step[0] * turn[1])
        else:
            c, s = cosine[:, 0], sine[:, 0]
            step = (c[after] * c[before] + s[after] * s[before], s[after] * c[before] - c[after] * s[before])
        losses[name] = _weighted(real * step[0] + imaginary * step[1], (size[after] * size[before]).sqrt())
    agreement = cosine[:, -1] * relative_cosine + sine[:, -1] * relative_sine
    return {**losses, "side": _weighted(agreement, product.sqrt())}


def _polar(spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = magnitude(spectrum)
    inverse = 1 / size.clamp(min=1e-20)
    return spectrum.real * inverse, spectrum.imag * inverse, size


def _weighted(agreement: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of 1 - agreement for each clip, mean over clips."""
    return (((1 - agreement) * weight).sum((1, 2)) / (weight.sum((1, 2)) + 1e-2)).mean()


# All together


class Objective(nn.Module):
    """Losses of an autoencoder on a batch of crops; `forward` returns them with the decoded audio."""

    bands: Tensor

    def __init__(self, autoencoder: Autoencoder, weights: dict[str, float]) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.names = frozenset(weights)
        config = autoencoder.config
        self.register_buffer("bands", mel_bands(config.window)[: config.network_bins], persistent=False)

    def forward(
        self, audio: Tensor, latent_noise: Tensor, hops: tuple[int, ...]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Of audio `(batch, 2, samples)`; the noise is drawn outside, so that a step can be repeated.

        # Not in the paper: L_rec is of mid and side, as the networks see them; L_mssd and the critics are of left and
        # right, as they are heard.

        `latent_noise` `(batch, frames, dims)` is added to the latents.  Where the phase is integrated, which has no
        gradient, the waveform that the critics hear has the mid's true phase.
        """
        model, bins = self.autoencoder, self.autoencoder.config.network_bins
        target = model.spectrum(audio)
        target_log = (magnitude(target) + model.config.floor).log()
        latent = model.latent(target_log, model.heard(audio))
        decoded = model.decoded(latent + latent_noise * model.latent_std)
        low, low_log = target[..., :bins], target_log[..., :bins]
        losses = {"reconstruction": reconstruction_loss(decoded.log_magnitude, low_log, model.feature_weight[:, None])}
        if "band_level" in self.names:
            levels = [model.magnitude(x) for x in (decoded.log_magnitude, low_log)]
            losses["band_level"] = band_level_loss(levels[0], levels[1], self.bands, floor=model.config.floor)
        overlap = model.config.window // model.config.hop if model.config.integrate_phase else None
        if self.names & {"frequency", "delay", "side"}:
            losses |= phase_losses(decoded.cosine, decoded.sine, low, overlap=overlap)
        if not self.names & {"mssd", "adversarial"}:
            return losses, None
        if model.config.integrate_phase:
            decoded = _with_true_phase(decoded, low)
        # The network has no part in what lies above its bins: there the target stands in.
        waveform = model.waveform(torch.cat([model.complex_spectrum(decoded), target[..., bins:]], dim=-1))
        if "mssd" in self.names:
            losses["mssd"] = multi_scale_spectral_distance(waveform, audio, hops)
        return losses, waveform


def _with_true_phase(decoded: Spectrum, target: Tensor) -> Spectrum:
    mid = target[:, 0]
    size = magnitude(mid).clamp(min=1e-20)
    cosine, sine = (
        torch.stack([part / size, phasors[:, 2]], dim=1)
        for part, phasors in ((mid.real, decoded.cosine), (mid.imag, decoded.sine))
    )
    return Spectrum(decoded.log_magnitude, cosine, sine)


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Sum over names; a loss without a weight is an error, a weight without a loss is one not switched on."""
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()
