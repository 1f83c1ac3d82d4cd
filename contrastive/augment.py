"""What must not help the matcher: the sound of a stem, its noise floor, and what leaks into it.

All of it on views in the towers' input scale, where 1 is 20 dB, with independent draws for every clip.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrastive.encoder import network_input


@dataclass(frozen=True)
class Augmentation:
    """Sizes of the random changes, in decibels."""

    equaliser: float = 5.0
    """Standard deviation at each of `knots` points along the axis, straight lines between them."""
    knots: int = 8
    gain: float = 4.0
    """Standard deviation of the level, beyond what normalisation left."""
    floor: tuple[float, float] = (-75.0, -25.0)
    """Range of a noise floor relative to the clip's level."""
    leak: tuple[float, float] = (-40.0, -12.0)
    """Range of the gain of another pair's stem of the other kind."""
    leaks: float = 0.3
    """Share of clips with such a leak."""


def augmented(mix: Tensor, bass: Tensor, generator: np.random.Generator, config: Augmentation) -> tuple[Tensor, Tensor]:
    """Stored views `(pairs, rows, frames)` and `(basses, rows, frames)` to augmented network input.

    Power is added by taking the louder of the two, which is within 3 dB of the sum.
    """
    mixes, basses = network_input(mix), network_input(bass)
    other = torch.from_numpy((np.arange(len(basses)) + generator.integers(1, max(len(mixes), 2))) % len(mixes))
    return (
        _changed(mixes, basses[torch.from_numpy(generator.permutation(len(mixes)))], generator, config),
        _changed(basses, mixes[other.to(mixes.device)], generator, config),
    )


def _changed(clips: Tensor, leaking: Tensor, generator: np.random.Generator, config: Augmentation) -> Tensor:
    count, rows, frames = clips.shape
    # A leak is far below any clip unless it is drawn.
    leak = np.where(generator.random(count) < config.leaks, generator.uniform(*config.leak, count), -200.0)
    clips = torch.maximum(clips, leaking + _column(leak, clips))
    curve = generator.standard_normal((count, 1, config.knots)) * config.equaliser
    curve += generator.standard_normal((count, 1, 1)) * config.gain
    lines = F.interpolate(torch.from_numpy(curve).float(), size=rows, mode="linear", align_corners=True)
    clips = clips + (lines / 20).squeeze(1)[:, :, None].to(clips.device)
    # One block of noise for all, each clip beginning elsewhere in it; a floor of 0 dB is 1.75 in the input's scale.
    noise = 10 * np.log10(generator.exponential(size=(rows, 2 * frames)).astype(np.float32) + 1e-3) / 20
    block = torch.from_numpy(noise).to(clips.device)
    floor = generator.uniform(*config.floor, count) + 35.0
    starts = generator.integers(frames, size=count)
    for index in range(count):
        window = block[:, starts[index] : starts[index] + frames]
        clips[index] = torch.maximum(clips[index], window + float(floor[index]) / 20)
    return clips.clamp(min=network_input(torch.zeros(())).item())


def _column(decibels: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(decibels / 20).to(like)[:, None, None]
