"""What an autoencoder is trained for: a named dict of losses and a dict of weights with the same keys."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reference_model.autoencoder import Autoencoder, Spectrum
from reference_model.phase import phase_losses
from reference_model.spectral_loss import (
    band_level_loss,
    mel_bands,
    multi_scale_spectral_distance,
    reconstruction_loss,
)
from reference_model.stft import magnitude

PAPER_WEIGHTS = {"reconstruction": 25.0, "mssd": 0.002, "adversarial": 1.0}
"""L = L_adv + 25 L_rec + 0.002 L_mssd."""
SMALL_WEIGHTS = {
    "reconstruction": 1.0,
    "band_level": 0.5,
    "frequency": 1.0,
    "delay": 1.0,
    "side": 0.25,
    "adversarial": 0.02,
}
"""Not in the paper: the linear path already holds the magnitudes, most of what is left to learn is phase."""


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained; the command line may change any of it."""

    steps: int
    batch_size: int
    learning_rate: float
    betas: tuple[float, float]
    cosine: bool
    adversarial_start: int | None
    """Step from which the critics play along; None: never."""
    latent_noise: float
    """Deviation of noise added to the decoder's input, so that generated latents are not foreign to it."""
    gain_db: float
    """Each crop is played up to this much louder or softer."""
    resolutions: int | None
    """Resolutions of the multi-scale loss drawn for each step; None: all."""
    weights: dict[str, float] = field(default_factory=lambda: dict(SMALL_WEIGHTS))


RECIPES: dict[str, Recipe] = {
    "tiny": Recipe(20, 2, 1e-3, (0.9, 0.99), True, None, 0.05, 6.0, 1),
    "small": Recipe(6_000, 16, 5e-4, (0.9, 0.99), True, None, 0.05, 6.0, 1),
    # Not in the paper: the learning rate.
    "paper": Recipe(500_000, 32, 1e-4, (0.5, 0.9), False, 0, 0.0, 0.0, None, dict(PAPER_WEIGHTS)),
}


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
