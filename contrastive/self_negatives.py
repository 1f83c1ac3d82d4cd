"""Hard negatives that cost no further pass: each pair's own bass transposed, and too late or too early.

The towers turn round the circle of pitch classes as the music is transposed and move in time as it is delayed (nearly:
up to the octave a note lies in and the ends of the clip), so the embedding of the damaged bass is the embedding of the
bass, turned or moved.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastive.encoder import PITCH_CLASSES, STRIDE

STEPS = tuple(sign * step for step in (2, 3, 4, 5, 6, 8, 10, 12, 16, 24) for sign in (1, -1))
"""Delays and advances in embedding frames of 67 ms: about a sixteenth note to two beats."""


def transposed_similarity(mix: Tensor, bass: Tensor) -> Tensor:
    """Similarity `(pairs, 11)` of mixes with their own basses 1 to 11 semitones up.

    Embeddings are `(pairs, dims, frames)`.
    """
    mix, bass = (F.normalize(each.flatten(1), dim=1).view_as(each) for each in (mix, bass))
    circle = bass.unflatten(1, (-1, PITCH_CLASSES))
    turned = torch.stack([circle.roll(step, dims=2).flatten(1, 2) for step in range(1, PITCH_CLASSES)], dim=1)
    return torch.einsum("pdt,pkdt->pk", mix, turned)


def shifted_similarity(mix: Tensor, bass: Tensor, steps: tuple[int, ...] = STEPS) -> Tensor:
    """Similarity `(pairs, steps)` of mixes with their own basses `steps` frames late, over the frames both have."""
    columns = []
    for step in steps:
        late, early = (bass, mix) if step > 0 else (mix, bass)
        first, second = late[:, :, : -abs(step)].flatten(1), early[:, :, abs(step) :].flatten(1)
        columns.append(F.cosine_similarity(first, second, dim=1))
    return torch.stack(columns, dim=1)


def shifted_alike(views: Tensor, *, threshold: float, steps: tuple[int, ...] = STEPS) -> Tensor:
    """Which basses `(pairs, bins, view frames)` are (nearly) themselves when shifted: booleans `(pairs, steps)`.

    A line that repeats every beat is itself a beat late. Spectra are compared without each bin's mean over all basses,
    as in `contrastive.loss.alike`.
    """
    centred = views.float() - views.float().mean(dim=(0, 2), keepdim=True)
    columns = []
    for step in steps:
        frames = STRIDE * abs(step)
        agreement = F.cosine_similarity(centred[:, :, :-frames].flatten(1), centred[:, :, frames:].flatten(1), dim=1)
        columns.append(agreement > threshold)
    return torch.stack(columns, dim=1)
