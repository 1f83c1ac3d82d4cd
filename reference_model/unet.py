"""Conditional U-Net over latents (paper, section 3.2): it sees the noisy bass and the mix, and predicts v.

Not in the paper: planes of notes, chords and rhythm (`conditions.py`) as further channels of what it is conditioned on.
"""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import save_tensors
from bassbench.training.pretrained import load_pretrained
from reference_model.blocks import Upsample, convolution
from reference_model.positional_bias import Attention
from reference_model.presets import UNetConfig


def level_embedding(level: Tensor, dims: int) -> Tensor:
    """Sinusoidal embedding `(batch, dims)` of noise levels `(batch,)` in [0, 1].

    Not in the paper: the frequencies, from a quarter period to 64 periods over the range of levels.
    """
    frequency = torch.logspace(math.log2(0.25), math.log2(64), dims // 2, base=2, device=level.device)
    angle = 2 * math.pi * level.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class ChannelNorm(nn.Module):
    """Layer norm over each frame's channels: no statistics across time, so that any length is treated alike.

    The statistics are float32 inside the kernel also when autocast hands it bfloat16 features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        last = image.permute(0, 2, 3, 1)
        with torch.autocast(image.device.type, enabled=False):
            gain, shift = self.gain.to(last.dtype), self.shift.to(last.dtype)
            return F.layer_norm(last, gain.shape, gain, shift, eps=1e-6).permute(0, 3, 1, 2)


class LevelBlock(nn.Module):
    """Residual block whose input has the level's embedding concatenated to its feature maps.

    Not in the paper: norm and activation; the norm comes before the concatenation, so that the embedding keeps its
    size however large the features grow.
    """

    def __init__(self, inputs: int, outputs: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm = ChannelNorm(inputs)
        self.first = convolution(inputs + config.level_dims, outputs)
        self.second_norm = ChannelNorm(outputs)
        self.dropout = nn.Dropout2d(config.dropout)  # whole channels: masks are a tenth of the step otherwise
        self.second = convolution(outputs, outputs)
        self.skip = convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """`(batch, inputs, 1, frames)`, `(batch, level_dims)` to `(batch, outputs, 1, frames)`."""
        hidden = F.silu(self.norm(image))
        maps = level[:, :, None, None].to(hidden).expand(-1, -1, 1, image.shape[3])
        hidden = self.first(torch.cat([hidden, maps], dim=1))
        hidden = self.second(self.dropout(F.silu(self.second_norm(hidden))))
        return self.skip(image) + hidden


class Resolution(nn.Module):
    """The blocks of one resolution, on the way down or up, each followed by attention where it attends."""

    def __init__(self, inputs: int, width: int, attends: bool, config: UNetConfig) -> None:
        super().__init__()
        widths = [inputs, *[width] * config.blocks]
        pairs = itertools.pairwise(widths)
        self.blocks = nn.ModuleList(LevelBlock(before, after, config) for before, after in pairs)
        count = config.blocks if attends else 0
        self.attention = nn.ModuleList(
            Attention(width, config.heads, ChannelNorm(width), config.positions) for _ in range(count)
        )

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            image = block(image, level)
            if self.attention:
                image = self.attention[index](image)
        return image


class UNet(nn.Module):
    """v-prediction from the noisy bass latent, its noise level and the mix latent (zeros: unconditional).

    With `note_planes` what is asked for follows the mix's channels (zeros, or no such channels: nothing). Its
    convolution has no bias and starts from zero: a new one changes nothing, and zeros never change anything.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        attends = [index >= len(widths) - config.attention for index in range(len(widths))]
        self.input = convolution(config.bass_dims + config.mix_dims, widths[0])
        self.down = nn.ModuleList(Resolution(w, w, a, config) for w, a in zip(widths, attends, strict=True))
        self.coarser = nn.ModuleList(
            convolution(fine, coarse, 2, stride=2) for fine, coarse in itertools.pairwise(widths)
        )
        self.middle = LevelBlock(widths[-1], widths[-1], config)
        self.up = nn.ModuleList(Resolution(2 * w, w, a, config) for w, a in zip(widths, attends, strict=True))
        self.finer = nn.ModuleList(Upsample(coarse, fine, 2) for fine, coarse in itertools.pairwise(widths))
        self.output_norm = ChannelNorm(widths[0])
        self.output = convolution(widths[0], config.bass_dims)
        nn.init.zeros_(self.output.weight)
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)
        if config.note_planes:
            self.note_input = nn.Conv2d(config.note_planes, widths[0], (1, 3), padding=(0, 1), bias=False)
            nn.init.zeros_(self.note_input.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
        """v `(batch, bass_dims, frames)` from noisy latent of that shape, level `(batch,)`, mix of `mix_dims`.

        The mix may be followed by `note_planes` channels of what is asked for.
        Any number of frames: what is missing to a multiple of the stride is padded at the end and cut off again.
        """
        frames = noisy.shape[2]
        mix, notes = mix[:, : self.config.mix_dims], mix[:, self.config.mix_dims :]
        embedding = level_embedding(level, self.config.level_dims)

        image = self.input(self._image(torch.cat([noisy, mix], dim=1)))
        if notes.shape[1]:
            image = image + self.note_input(self._image(notes))
        skips = []
        for index, resolution in enumerate(self.down):
            image = resolution(self.coarser[index - 1](image) if index else image, embedding)
            skips.append(image)
        image = self.middle(image, embedding)
        for index in reversed(range(len(self.up))):
            image = self.up[index](torch.cat([image, skips[index]], dim=1), embedding)
            if index:
                image = self.finer[index - 1](image)
        v = self.output(F.silu(self.output_norm(image)))
        return v.squeeze(2)[..., :frames].float()

    def _image(self, channels: Tensor) -> Tensor:
        padded = F.pad(channels, (0, -channels.shape[2] % self.config.stride), mode="replicate")
        return padded.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    def start_from(self, other: "UNet") -> None:
        """Take over another's weights. If it has no note planes this one plays as it did, whatever is asked for.

        Raises:
            BadInputError: it has other sizes, or planes where this one has none.
        """
        mine, theirs = self.state_dict(), other.state_dict()
        if "note_input.weight" in mine and "note_input.weight" not in theirs:
            theirs["note_input.weight"] = torch.zeros_like(mine["note_input.weight"])
        try:
            self.load_state_dict(theirs)
        except RuntimeError:
            raise BadInputError(
                f"weights to start from must be of the U-Net that is trained, {self.config}, or of one without note "
                f"planes; these are of {other.config}"
            ) from None

    def save_pretrained(
        self,
        path: str | Path,
        dtype: torch.dtype = torch.float16,
        *,
        encoders: Mapping[str, str] | None = None,
    ) -> None:
        """Write the weights in `dtype`, whole or not at all, with the configuration in the header.

        `encoders`: the `encoder_hash` of the "mix" and of the "bass" autoencoder whose latents it was trained on, so
        that `reference_model.load` refuses others.  Raises BadInputError if the file cannot be written.
        """
        tensors = {name: tensor.to(dtype) for name, tensor in self.state_dict().items()}
        metadata = {"kind": "unet", "config": self.config.to_dict()}
        if encoders is not None:
            metadata["encoders"] = {which: encoders[which] for which in ("mix", "bass")}
        save_tensors(path, tensors, metadata)

    @classmethod
    def from_pretrained(cls, path: str | Path, device: torch.device | str = "cpu") -> "UNet":
        """Read what `save_pretrained` wrote, frozen and in evaluation mode.

        Raises BadInputError if the file is missing, damaged, or holds something else.
        """
        return load_pretrained(path, "unet", lambda config: cls(UNetConfig.from_dict(config)), device)
