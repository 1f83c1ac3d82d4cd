"""Two towers, one for the mix and one for the bass, that keep time until the very end: a bass fits a mix if the
embeddings of their frames agree, frame by frame.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bassbench.bad_input import BadInputError
from bassbench.pretrained import load_pretrained
from bassbench.runs import save_tensors
from contrastive.config import FeatureConfig, MatcherConfig
from contrastive.features import FLOOR, STEPS_PER_DECIBEL

STRIDE = 2
"""Feature frames to one embedding frame (67 ms)."""


class FrameNorm(nn.Module):
    """Layer norm over the channels of each frame; its statistics are float32 inside the kernel under autocast too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, channels, 1, frames)` to the same."""
        last = image.permute(0, 2, 3, 1)
        with torch.autocast(image.device.type, enabled=False):
            gain, shift = self.gain.to(last.dtype), self.shift.to(last.dtype)
            return F.layer_norm(last, gain.shape, gain, shift, eps=1e-6).permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the first convolution dilated; both over three frames."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            FrameNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, width, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
            FrameNorm(width),
            nn.SiLU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(width, width, (1, 3), padding=(0, 1)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, width, 1, frames)` to the same."""
        return image + self.layers(image)


class Tower(nn.Module):
    """Features of one stem to embeddings of its frames, with frequency as channels.

    Convolutions over time run as height-1 `Conv2d` on channels-last tensors, the fast form on CPUs.
    """

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        width = config.width
        inputs = config.features.view + config.features.upper_bands
        self.input = nn.Conv2d(inputs, width, (1, 5), stride=(1, STRIDE), padding=(0, 2))
        self.blocks = nn.Sequential(*(Block(width, 2 ** (i % 4), config.dropout) for i in range(config.blocks)))
        self.norm = FrameNorm(width)
        self.output = nn.Conv2d(width, config.dims, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, view: Tensor) -> Tensor:
        """Network input `(batch, view + upper bands, frames)` to `(batch, dims, ceil(frames / 2))`."""
        image = view.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.output(self.norm(self.blocks(self.input(image)))).squeeze(2).float()


class Matcher(nn.Module):
    """The mix tower, the bass tower, and the learned temperature that the loss divides similarities by."""

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        self.mix_tower = Tower(config)
        self.bass_tower = Tower(config)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, mix: Tensor, bass: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of mixes and basses (as the towers take them), and the factor 1 / temperature, at most 100."""
        return self.mix_tower(mix), self.bass_tower(bass), self.log_scale.exp().clamp(max=100.0)

    def save_pretrained(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the weights in `dtype`, whole or not at all, with the configuration in the header.

        Raises BadInputError if the file cannot be written.
        """
        tensors = {name: tensor.to(dtype) for name, tensor in self.state_dict().items()}
        save_tensors(path, tensors, {"kind": "matcher", "config": dataclasses.asdict(self.config)})

    @classmethod
    def from_pretrained(cls, path: str | Path, device: torch.device | str = "cpu") -> "Matcher":
        """Read what `save_pretrained` wrote, frozen and in evaluation mode.

        Raises BadInputError if the file is missing, damaged, or holds something else.
        """
        return load_pretrained(path, "matcher", lambda config: cls(_config(path, config)), device)


def network_input(view: Tensor) -> Tensor:
    """Features as stored (0 to 255) to the towers' input: decibels relative to the level, plus 35, over 20."""
    return (view.float() / STEPS_PER_DECIBEL + FLOOR / 2) / 20  # -1.75 to 2.5


def similarity(mix: Tensor, bass: Tensor) -> Tensor:
    """Similarity `(mixes, basses)`, -1 to 1, of embeddings `(clips, dims, frames)` of one length.

    The mean over frames of the dot products of their embeddings, divided by the root mean squares over the clip: a
    frame in which an embedding is long counts more, and a rest can count for nothing.
    """
    return F.normalize(mix.flatten(1), dim=1) @ F.normalize(bass.flatten(1), dim=1).T


def _config(path: str | Path, values: Any) -> MatcherConfig:
    try:
        return MatcherConfig(**{**values, "features": FeatureConfig(**values["features"])})
    except (TypeError, KeyError, ValueError) as error:
        raise BadInputError(f"{path}: the configuration in the header is not a matcher's ({error})") from None
