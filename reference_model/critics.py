"""Adversarial training of the autoencoders (paper, section 3.1): two critics with the hinge loss."""

import torch
from torch import Tensor, nn

from reference_model.blocks import FrameNorm, ResidualBlock, convolution, to_image, to_sequence
from reference_model.losses import mel_bands
from reference_model.stft import magnitude, stft


def log_power(audio: Tensor, window: int, hop: int, eps: float = 1e-6) -> Tensor:
    """s~ = log(STFT(w~)^2 + eps) of `(batch, 2, samples)`: `(batch, 2, frames, bins)`."""
    return (magnitude(stft(audio, window, hop)).square() + eps).log()


def critic_loss(real: Tensor, generated: Tensor) -> Tensor:
    """L_C = -E min(0, -1 + C(s)) - E min(0, -1 - C(s~)), averaged over the critics.

    # Not in the paper, which names two critics and one loss: the mean over them. Their sum would be twice as much, here
    # and in `generator_loss`.
    """
    return (1 - real).clamp(min=0).mean() + (1 + generated).clamp(min=0).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """L_adv = -E C(s~), averaged over the critics.  # Not in the paper: the mean (see `critic_loss`)."""
    return -generated.mean()


class Critic(nn.Module):
    """Scores `(batch, frames)` of `(batch, channels, frames, bands)`, convolving over time.

    # Not in the paper: the critics' layers.
    """

    def __init__(self, features: int, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(features, width),
            *(ResidualBlock(width, dilation=2 ** (index % 3)) for index in range(blocks)),
            FrameNorm(width),
            nn.SiLU(),
            convolution(width, 1),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        # Around zero and of order one, whatever the floor.
        features = (spectrogram.transpose(1, 2).flatten(2) + 7) / 7
        return to_sequence(self.layers(to_image(features))).squeeze(-1).float()


class Critics(nn.Module):
    """The two critics: one of the log spectrogram, one of its 128-band mel spectrogram."""

    bands: Tensor

    def __init__(self, window: int, hop: int, *, width: int = 256, blocks: int = 3, mels: int = 128) -> None:
        super().__init__()
        self.window, self.hop = window, hop
        self.linear = Critic(2 * (window // 2 + 1), width, blocks)
        self.mel = Critic(2 * mels, width, blocks)
        self.register_buffer("bands", mel_bands(window, mels), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Scores `(batch, 2, frames)` of `(batch, 2, samples)`: of the log spectrogram and of its mel spectrogram."""
        spectrogram = log_power(audio, self.window, self.hop)
        mel = (spectrogram.exp() @ self.bands).log()
        return torch.stack([self.linear(spectrogram), self.mel(mel)], dim=1)
