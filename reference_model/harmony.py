"""What sounds, by pitch: chroma, bass chroma and semitone bands of a mix, following its tuning.

Not in the paper. Components of linear frequency that are fitted on one world of sounds carry little harmony over to
another; pitch classes do. One long window a latent frame tells semitones apart from 130 Hz on, and where the strongest
partials lie between the semitones, averaged over six seconds, tells the tuning.
"""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from reference_model.presets import R_TIME, SAMPLE_RATE
from reference_model.stft import magnitude, stft

WINDOW = 16_384
_AVERAGED = 32  # latent frames on either side over which the tuning is averaged
REACH = _AVERAGED + WINDOW // R_TIME
"""Latent frames on either side that a frame depends on."""
_TUNINGS = 10  # steps of a semitone in which the tuning is followed
_FLOOR = 1e-4
_VALLEY, _SILENT = 0.05, 1e-6  # of the mean pitch class, below which all are alike; and magnitude of silence
_LOW, _HIGH = 28, 100  # MIDI pitches of the semitone bands


@dataclass(frozen=True)
class HarmonyBands:
    """Per latent frame: log `bands` `(batch, frames, 72)`, and `chroma` `(batch, frames, 24)`, pitch classes from C.

    The first twelve of `chroma` are of all partials up to 2 kHz, the others of fundamentals below 260 Hz, whose
    overtones are summed; each twelve are logarithms, their mean taken off, so that loudness does not show.
    """

    bands: Tensor
    chroma: Tensor
    version: ClassVar[str] = "1"


@torch.no_grad()
def harmony(audio: Tensor) -> HarmonyBands:
    """Of audio `(batch, 2, samples)` in whole latent frames."""
    size = magnitude(stft(audio.float().mean(dim=1), WINDOW, R_TIME))
    steps = tuning_steps(size)
    maps = pitch_maps().to(size)
    table = size @ maps  # (batch, frames, pitches x _TUNINGS and their margin)
    index = _TUNINGS + steps[..., None] + _TUNINGS * torch.arange(_HIGH - _LOW, device=size.device)
    bands = table.gather(2, index)
    pitches = torch.arange(_LOW, _HIGH, device=size.device)
    treble = _folded(bands * ((pitches >= 48) & (pitches < 96)))
    fundamentals = sum(
        F.pad(bands, (0, shift))[..., shift : shift + bands.shape[-1]] * gain
        for shift, gain in ((0, 1.0), (12, 0.8), (19, 0.6), (24, 0.5))
    )
    low = _folded(fundamentals * (pitches < 60))
    both = [(part + _VALLEY * part.mean(dim=-1, keepdim=True) + _SILENT).log() for part in (treble, low)]
    chroma = torch.cat([part - part.mean(dim=-1, keepdim=True) for part in both], dim=-1)
    return HarmonyBands((bands + _FLOOR).log(), chroma)


def _folded(bands: Tensor) -> Tensor:
    """Sum of the bands of each pitch class from C, `(..., 12)`."""
    first = _LOW % 12
    return F.pad(bands, (first, -(first + bands.shape[-1]) % 12)).unflatten(-1, (-1, 12)).sum(-2)


def tuning_steps(size: Tensor) -> Tensor:
    """Tuning in tenths of a semitone, -5 to 5, of magnitudes `(batch, frames, bins)`, `(batch, frames)`.

    The angle of the mean of exp(2 pi i pitch) over the peaks between 130 Hz and 2 kHz, weighted by their magnitude.
    """
    low, high = (round(hertz * WINDOW / SAMPLE_RATE) for hertz in (130.0, 2_000.0))
    before, peak, after = size[..., low - 1 : high - 1], size[..., low:high], size[..., low + 1 : high + 1]
    logs = [(part + 1e-9).log() for part in (before, peak, after)]
    curve = (logs[0] - 2 * logs[1] + logs[2]).clamp(max=-1e-6)
    offset = (0.5 * (logs[0] - logs[2]) / curve).clamp(-0.5, 0.5)
    frequency = (torch.arange(low, high, device=size.device) + offset) * (SAMPLE_RATE / WINDOW)
    angle = 2 * math.pi * 12 * (frequency / 440.0).log2()
    weight = peak * ((peak >= before) & (peak > after))
    mean = torch.stack([(weight * angle.cos()).sum(-1), (weight * angle.sin()).sum(-1)], dim=1)
    smooth = F.avg_pool1d(mean, 2 * _AVERAGED + 1, 1, _AVERAGED)
    return (torch.atan2(smooth[:, 1], smooth[:, 0]) * (_TUNINGS / (2 * math.pi))).round().long()


@functools.lru_cache(maxsize=1)
def pitch_maps() -> Tensor:
    """Matrix `(bins, tenths of semitones)` from magnitudes to bands a third of a semitone wide, a semitone below
    `_LOW` to one above `_HIGH`; a band narrower than a bin takes the nearest bins."""
    frequency = torch.arange(WINDOW // 2 + 1) * (SAMPLE_RATE / WINDOW)
    centres = 440.0 * 2 ** (((_LOW - 1) + torch.arange((_HIGH - _LOW + 2) * _TUNINGS) / _TUNINGS - 69) / 12)
    width = torch.maximum(centres * (2 ** (0.3 / 12) - 1), torch.tensor(0.7 * SAMPLE_RATE / WINDOW))
    return torch.exp(-0.5 * ((frequency[:, None] - centres) / width).square())
