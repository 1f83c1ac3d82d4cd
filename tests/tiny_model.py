"""What the tests of the whole model share: a tiny one, and a mix for it."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from bassbench.audio import SAMPLE_RATE
from reference_model.autoencoder import Autoencoder
from reference_model.loading import load
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.presets import AutoencoderConfig


def tiny_model(weights: Path) -> BassAccompaniment:
    """The model of a folder, which samples in two steps."""
    return dataclasses.replace(load(weights), sampling=Sampling(steps=2), bfloat16=False)


def music(seconds: float, rate: int = SAMPLE_RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Three tones and a little noise, `(channels, samples)`."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * f * time + p) for f, p in zip((110, 220, 331), generator.uniform(0, 6, 3), strict=True)]
    noise = 0.02 * generator.standard_normal((channels, len(time)))
    return (0.1 * np.sum(tones, axis=0) + noise).astype(np.float32)


def perturbed(config: AutoencoderConfig) -> Autoencoder:
    """Random weights everywhere, outputs and linear path included."""
    torch.manual_seed(1)
    model = Autoencoder(config)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.ndim > 1:
            tensor.data += 0.02 * torch.randn_like(tensor)
    return model.eval().requires_grad_(False)
