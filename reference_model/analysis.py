"""Audio to latents without gradients, in slices whose spectra stay in a processor's cache.

The same arithmetic as `Autoencoder.log_magnitude` and `latent`, which training uses, and only of bins that are read.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reference_model.stft import hann, tiles

if TYPE_CHECKING:
    from reference_model.autoencoder import Autoencoder

SLICE = 16
"""Latent frames at a time on a CPU: some megabytes of spectrum."""


@torch.no_grad()
def analyse(model: "Autoencoder", audio: Tensor) -> Tensor:
    """Latents `(batch, frames, dims)`, not standardised, of audio `(batch, 2, samples)` in whole latent frames."""
    config = model.config
    frames = tiles(model.mid_side(audio), config.window, config.hop)
    taper = hann(config.window, audio) * (4.0 / config.window)
    count = SLICE * config.frames_per_latent if audio.device.type == "cpu" else frames.shape[2]
    linear: list[Tensor] = []
    stacks: list[Tensor] = []
    heard = model.heard(audio)
    for piece in frames.split(count, dim=2):
        parts = torch.view_as_real(torch.fft.rfft(piece * taper)[..., : config.network_bins])
        magnitude = (parts[..., 0].square() + parts[..., 1].square()).sqrt_()
        log_magnitude = magnitude.add_(config.floor).log_()
        if model.linear is not None:
            features = model.features(log_magnitude, config.frames_per_latent)
            start = sum(part.shape[1] for part in linear)
            beside = None if heard is None else heard[:, start : start + features.shape[1]]
            linear.append(model.linear.encode(features, beside))
        if model.encoder is not None:
            stacks.append(model.features(log_magnitude, config.stack))
    paths = [torch.cat(linear, dim=1)] if linear else []
    if model.encoder is not None:
        paths.append(model.run(model.encoder, torch.cat(stacks, dim=1)))
    return torch.stack(paths).sum(0)
