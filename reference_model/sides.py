"""Where a mix is between left and right: level differences of its channels in a few bands, per latent frame.

Not in the paper. Magnitudes of mid and side are the same when the channels are swapped; these change their sign.
"""

import functools
import math

import torch
from torch import Tensor

from reference_model.presets import R_TIME, SAMPLE_RATE
from reference_model.stft import stft

_WINDOW = 2 * R_TIME
_EDGES = (60.0, 12_000.0)
_FLOOR = 1e-8  # power below which a channel counts as silent, so that silence is in the middle


@torch.no_grad()
def level_differences(audio: Tensor, bands: int) -> Tensor:
    """Left over right, as the logarithm of power, of audio `(batch, 2, samples)` in whole latent frames.

    `(batch, frames, bands)`: the bands divide 60 Hz to 12 kHz evenly in octaves.
    """
    power = torch.view_as_real(stft(audio.float(), _WINDOW, R_TIME)).square().sum(-1)
    left, right = ((power @ _band_matrix(bands).to(power)) + _FLOOR).log().unbind(1)
    return left - right


@functools.lru_cache(maxsize=4)
def _band_matrix(bands: int) -> Tensor:
    frequency = torch.arange(_WINDOW // 2 + 1) * (SAMPLE_RATE / _WINDOW)
    octaves = (frequency.clamp(min=1e-3) / _EDGES[0]).log2() * (bands / math.log2(_EDGES[1] / _EDGES[0]))
    return (octaves.floor()[:, None] == torch.arange(bands)).float()
