"""Ways to give audio `(2, samples)` back: an autoencoder, plain PCA, and what true magnitudes give."""

from collections.abc import Callable

import numpy as np
import torch

from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.phase import griffin_lim, noise_phase
from reference_model.stft import magnitude

Reconstruct = Callable[[np.ndarray], np.ndarray]

AUTOENCODER, LINEAR, PCA = "autoencoder", "autoencoder, linear decoder alone", "PCA"
GRIFFIN_LIM, RANDOM = "true magnitudes, Griffin-Lim", "true magnitudes, random phase"


def reconstructions(coder: Autoencoder, *, iterations: int) -> dict[str, Reconstruct]:
    """All that this autoencoder allows, by name; PCA has the autoencoder's rate and dims, and its STFT.

    PCA: magnitudes of the principal components of frequency-weighted log magnitudes, read back by least squares, and
    the phase that follows from them.  An autoencoder without linear path has neither it nor PCA.
    """
    ways: dict[str, Reconstruct] = {AUTOENCODER: lambda audio: _through(coder, audio, network=True)}
    if coder.linear is not None and coder.config.integrate_phase:
        if coder.encoder is not None:
            ways[LINEAR] = lambda audio: _through(coder, audio, network=False)
        ways[PCA] = lambda audio: _principal(coder, audio)
    ways[GRIFFIN_LIM] = lambda audio: from_magnitudes(coder, audio, iterations)
    ways[RANDOM] = lambda audio: from_magnitudes(coder, audio, 0)
    return ways


@torch.inference_mode()
def from_magnitudes(coder: Autoencoder, audio: np.ndarray, iterations: int) -> np.ndarray:
    """The autoencoder's STFT magnitudes of mid and side with random phase, made consistent by Griffin-Lim.

    The side has the phase of the mid, or its own noise would be heard as width.
    """
    config = coder.config
    whole = -audio.shape[1] % (config.hop * config.frames_per_latent)
    padded = torch.from_numpy(np.pad(audio, ((0, 0), (0, whole))))[None].to(coder.feature_mean.device)
    size = magnitude(coder.spectrum(padded))
    frames = size.shape[2]
    angle = noise_phase(0, frames, (size.shape[3],), size.device)
    phasor = torch.polar(torch.ones_like(angle), angle)[None, None].expand(1, 2, -1, -1)
    phasor = griffin_lim(size, phasor.contiguous(), config.window, config.hop, iterations)
    decoded = coder.waveform(size * phasor)[0].cpu().numpy()
    return decoded[:, : audio.shape[1]]


@torch.inference_mode()
def _through(coder: Autoencoder, audio: np.ndarray, *, network: bool) -> np.ndarray:
    latent = codec.encode(coder, torch.from_numpy(audio)[None].to(coder.feature_mean.device))
    return codec.decode(coder, latent, audio.shape[1], network=network)[0].cpu().numpy()


Encode = Callable[[np.ndarray], np.ndarray]
"""Audio `(2, samples)` to its standardised latent `(dims, frames)`."""


def encoders(coder: Autoencoder) -> dict[str, Encode]:
    """The autoencoder's latents, and those of its principal components where it has them."""
    ways: dict[str, Encode] = {AUTOENCODER: lambda audio: _latent(coder, audio)}
    if coder.linear is not None and coder.config.integrate_phase:
        ways[PCA] = lambda audio: _principal_latent(coder, audio)[0].cpu().numpy()
    return ways


@torch.inference_mode()
def _latent(coder: Autoencoder, audio: np.ndarray) -> np.ndarray:
    return codec.encode(coder, torch.from_numpy(audio)[None].to(coder.feature_mean.device))[0].cpu().numpy()


@torch.inference_mode()
def _principal(coder: Autoencoder, audio: np.ndarray) -> np.ndarray:
    latent = _principal_latent(coder, audio)
    return codec.decode(coder, latent, audio.shape[1], network=False)[0].cpu().numpy()


@torch.inference_mode()
def _principal_latent(coder: Autoencoder, audio: np.ndarray) -> torch.Tensor:
    assert coder.linear is not None
    frame = coder.config.hop * coder.config.frames_per_latent
    padded = torch.from_numpy(np.pad(audio, ((0, 0), (0, -audio.shape[1] % frame))))[None].to(coder.feature_mean.device)
    scores = coder.linear.encode(coder.features(coder.log_magnitude(padded), coder.config.frames_per_latent))
    return ((scores - coder.latent_mean) / coder.latent_std).transpose(1, 2)
