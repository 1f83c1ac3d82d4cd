"""Long files in overlapping windows of the training length, faded into one another at every step.

Not in the paper, which relies on the dynamic positional bias alone. Averaging the predictions of overlapping windows
(Bar-Tal et al., 2023) keeps time and memory in proportion to the length, and every window as long as in training.
"""

import torch
from torch import Tensor

from reference_model.diffusion import VPredictor


def window_starts(frames: int, window: int, overlap: int) -> list[int]:
    """Starts of the fewest evenly spaced windows that cover `frames` and overlap by at least `overlap`."""
    if frames <= window:
        return [0]
    count = 1 - (-(frames - window) // (window - overlap))
    return [round(index * (frames - window) / (count - 1)) for index in range(count)]


def windowed(unet: VPredictor, window: int = 256, *, overlap: int = 64, batch: int = 16) -> VPredictor:
    """A predictor for any length from one for `window` frames; shorter input goes straight through.

    `batch` windows are evaluated at a time.

    Raises:
        ValueError: the overlap is not smaller than the window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"overlap must be at least 0 and smaller than the window of {window}, got {overlap}")

    def predict(noisy: Tensor, level: Tensor, mix: Tensor) -> Tensor:
        clips, frames = noisy.shape[0], noisy.shape[2]
        starts = window_starts(frames, window, overlap)
        if len(starts) == 1:
            return unet(noisy, level, mix)
        pieces = [(clip, start) for clip in range(clips) for start in starts]
        total, weight = torch.zeros_like(noisy), torch.zeros_like(noisy[:, :1])
        ramp = torch.arange(1, window + 1, device=noisy.device) / max(overlap, 1)
        fade = torch.minimum(ramp, ramp.flip(0)).clamp(max=1.0).to(noisy)
        for first in range(0, len(pieces), batch):
            these = pieces[first : first + batch]
            cut = [torch.stack([x[clip, :, start : start + window] for clip, start in these]) for x in (noisy, mix)]
            v = unet(cut[0], torch.stack([level[clip] for clip, _ in these]), cut[1])
            for (clip, start), piece in zip(these, v, strict=True):
                total[clip, :, start : start + window] += fade * piece
                weight[clip, :, start : start + window] += fade
        return total / weight

    return predict
