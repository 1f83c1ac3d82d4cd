"""Models of a preset for the benchmarks: the shipped weights where there are some, random ones elsewhere."""

import functools

import numpy as np
import torch

from bassbench.audio import SAMPLE_RATE
from reference_model.autoencoder import Autoencoder
from reference_model.loading import load
from reference_model.pipeline import BassAccompaniment
from reference_model.presets import PRESETS, R_TIME
from reference_model.unet import UNet

CLIP_FRAMES = 256
"""Latent frames of a clip, 23.8 s."""


def seconds(frames: int) -> float:
    """Of audio in latent frames."""
    return frames * R_TIME / SAMPLE_RATE


def noise(clips: int, frames: int) -> np.ndarray:
    """Stereo audio `(clips, 2, samples)`, rather brown than white, as music is."""
    audio = np.random.default_rng(0).standard_normal((clips, 2, frames * R_TIME)).astype(np.float32)
    audio[..., 1:] += 0.9 * audio[..., :-1]
    return 0.05 * audio


@functools.lru_cache(maxsize=1)
def reference_model(preset: str, device: torch.device) -> BassAccompaniment:
    """The reference model: shipped weights for "small", random ones for "tiny" and "paper"."""
    if preset == "small":
        return load("small", device)
    torch.manual_seed(0)
    coders = {which: Autoencoder(PRESETS[preset].autoencoders[which]) for which in ("mix", "bass")}
    networks = [
        network.to(device).eval().requires_grad_(False) for network in (*coders.values(), UNet(PRESETS[preset].unet))
    ]
    return BassAccompaniment(networks[0], networks[1], networks[2], bfloat16=device.type == "cuda")  # type: ignore[arg-type]
