"""Dynamic positional bias (paper, section 3.2): attention that works at lengths never seen in training.

And what it stands against: absolute positions, added to the frames, and attention that knows no positions.
"""

from typing import Literal

import torch
from torch import Tensor, nn


def signed_log_distance(offsets: Tensor) -> Tensor:
    """sign(d) log(1 + |d|): far offsets stay within the range that training has seen much longer."""
    offsets = offsets.float()
    return offsets.sign() * offsets.abs().log1p()


class PositionalBias(nn.Module):
    """B_ij = MLP(i - j), one value for each head; a function of the offset alone.

    Not in the paper: the MLP's size, and that it sees the offset on a signed logarithmic scale.
    """

    def __init__(self, heads: int, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, heads)
        )

    def forward(self, length: int) -> Tensor:
        """Bias of every offset i - j from -(length - 1) to length - 1, `(heads, 2 * length - 1)`."""
        offsets = torch.arange(1 - length, length, device=next(self.parameters()).device)
        return self.layers(signed_log_distance(offsets)[:, None]).T

    @staticmethod
    def square(bias: Tensor, rows: range) -> Tensor:
        """`(heads, len(rows), length)`: B_ij for the rows i asked for and all columns j."""
        length = (bias.shape[1] + 1) // 2
        row = torch.arange(rows.start, rows.stop, device=bias.device)
        column = torch.arange(length, device=bias.device)
        return bias[:, row[:, None] - column + length - 1]


Positions = Literal["dynamic", "absolute", "none"]
"""How attention knows where a frame is: the paper's bias, sinusoids added to the frames, or not at all."""


def sinusoids(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Absolute positions 0 to length - 1, `(length, width)` (Vaswani et al., 2017, section 3.5)."""
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, device=device) / width)
    angle = torch.arange(length, device=device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d) + B) V over frames, added to the input; `(batch, channels, 1, frames)` in and out."""

    _ROWS = 1024  # queries at a time: the memory for a long file grows with its length, not with its square

    def __init__(self, width: int, heads: int, norm: nn.Module, positions: Positions = "dynamic") -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.bias = PositionalBias(heads) if positions == "dynamic" else None
        self.absolute = positions == "absolute"

    def forward(self, image: Tensor) -> Tensor:
        frames = self.norm(image).permute(0, 2, 3, 1).squeeze(1)
        batch, length, width = frames.shape
        if self.absolute:
            frames = frames + sinusoids(length, width, frames.device).to(frames)
        query, key, value = self.qkv(frames).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        key = key.transpose(-1, -2) * key.shape[-1] ** -0.5
        bias = None if self.bias is None else self.bias(length)
        pieces = []
        for start in range(0, length, self._ROWS):
            rows = range(start, min(start + self._ROWS, length))
            scores = query[:, :, rows.start : rows.stop] @ key
            if bias is not None:
                scores = scores + PositionalBias.square(bias, rows)
            pieces.append(scores.softmax(-1).to(value.dtype) @ value)
        mixed = torch.cat(pieces, dim=2).transpose(1, 2).reshape(batch, length, width)
        return image + self.output(mixed).unsqueeze(1).permute(0, 3, 1, 2)
