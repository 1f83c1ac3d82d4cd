"""Two towers, one for the mix and one for the bass, that keep time until the very end: a bass fits a mix if the
embeddings of their frames agree, frame by frame.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import save_tensors
from bassbench.training.pretrained import load_pretrained
from contrastive.config import FeatureConfig, MatcherConfig
from contrastive.features import FLOOR, STEPS_PER_DECIBEL

STRIDE = 2
"""Feature frames to one embedding frame (67 ms)."""


PITCH_CLASSES = 12


class PitchConvolution(nn.Module):
    """Convolution over frames and around the circle of pitch classes, on channels `(features x 12)`.

    One set of weights serves all twelve pitch classes, so that a transposed clip gives the same embedding turned round
    the circle: what is learned of a chord on C holds on F sharp. It runs as a height-1 `Conv2d` on channels-last
    tensors with the weights written out, the fast form on CPUs.
    """

    turn: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        bound = (inputs * PITCH_CLASSES * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs, PITCH_CLASSES, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.stride, self.dilation = stride, dilation
        steps = torch.arange(PITCH_CLASSES)
        self.register_buffer("turn", (steps[None] - steps[:, None]) % PITCH_CLASSES, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, inputs x 12, 1, frames)` to `(batch, outputs x 12, 1, frames / stride)`."""
        outputs, inputs, _, kernel = self.weight.shape
        weight = self.weight[:, :, self.turn].permute(0, 2, 1, 3, 4).reshape(outputs * 12, inputs * 12, 1, kernel)
        weight = weight.contiguous(memory_format=torch.channels_last)
        padding = self.dilation * (kernel - 1) // 2
        return F.conv2d(
            image,
            weight,
            self.bias.repeat_interleave(PITCH_CLASSES),
            stride=(1, self.stride),
            padding=(0, padding),
            dilation=(1, self.dilation),
        )


class FrameNorm(nn.Module):
    """Layer norm over the channels of each frame, gains shared by all pitch classes.

    Its statistics are float32 inside the kernel under autocast too.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, features x 12, 1, frames)` to the same."""
        last = image.permute(0, 2, 3, 1)
        with torch.autocast(image.device.type, enabled=False):
            gain, shift = (each.to(last.dtype).repeat_interleave(PITCH_CLASSES) for each in (self.gain, self.shift))
            return F.layer_norm(last, gain.shape, gain, shift, eps=1e-6).permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the first convolution dilated; both over three frames."""

    def __init__(self, features: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            FrameNorm(features),
            nn.SiLU(),
            PitchConvolution(features, features, 3, dilation=dilation),
            FrameNorm(features),
            nn.SiLU(),
            nn.Dropout2d(dropout),
            PitchConvolution(features, features, 3),
        )

    def forward(self, image: Tensor) -> Tensor:
        """`(batch, features x 12, 1, frames)` to the same."""
        return image + self.layers(image)


class Tower(nn.Module):
    """Features of one stem to embeddings of its frames: pitch classes with octaves as channels, over time."""

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        features, self.view = config.width // PITCH_CLASSES, config.features.view
        self.bins_per_semitone = config.features.bins_per_semitone
        inputs = self.view // PITCH_CLASSES + config.features.upper_bands
        self.input = PitchConvolution(inputs, features, 5, stride=STRIDE)
        self.blocks = nn.Sequential(*(Block(features, 2 ** (i % 4), config.dropout) for i in range(config.blocks)))
        self.norm = FrameNorm(features)
        self.output = PitchConvolution(features, config.dims // PITCH_CLASSES, 1)

    def forward(self, view: Tensor) -> Tensor:
        """Network input `(batch, view + upper bands, frames)` to embeddings `(batch, dims, frames / 2)`."""
        pitched, upper = view[:, : self.view], view[:, self.view :]
        octaves = pitched.unflatten(1, (-1, PITCH_CLASSES, self.bins_per_semitone)).transpose(2, 3).flatten(1, 3)
        image = torch.cat([octaves, upper.repeat_interleave(PITCH_CLASSES, dim=1)], dim=1)
        image = image.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        embedding: Tensor = self.output(F.silu(self.norm(self.blocks(self.input(image)))))
        return embedding.squeeze(2).float()


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
        return self.mix_tower(mix), self.bass_tower(bass), self.scale

    @property
    def scale(self) -> Tensor:
        """1 / temperature, at most 100."""
        return self.log_scale.exp().clamp(max=100.0)

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
