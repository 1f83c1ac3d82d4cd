"""The matcher's loss: symmetric InfoNCE over all pairs of a batch, with further basses that are known not to fit.

Every pair's negatives are the basses and mixes of all processes, and damaged forms of its own bass. Those cost no
further pass: the towers turn round the circle of pitch classes as the music is transposed and move in time as it is
delayed (nearly: up to the octave a note lies in and the ends of the clip), so the embedding of the damaged bass is the
embedding of the bass, turned or moved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

from bassbench.training.loop import added_up
from contrastive.encoder import PITCH_CLASSES, STRIDE, similarity

LOSS_WEIGHTS = {"find_bass": 0.5, "find_mix": 0.5}
STEPS = tuple(sign * step for step in (2, 3, 4, 5, 6, 8, 10, 12, 16, 24) for sign in (1, -1))
"""Delays and advances in embedding frames of 67 ms: about a sixteenth note to two beats."""


def info_nce(
    similarity: Tensor, scale: Tensor, *, alike: Tensor, hard: Tensor | None = None, hard_alike: Tensor | None = None
) -> dict[str, Tensor]:
    """Losses by name, each a scalar, of similarities `(pairs, basses)` whose first `pairs` columns are the true ones.

    "find_bass": cross-entropy of each mix's own bass among all basses of the batch and the damaged forms of itself,
    whose similarities are `hard` `(pairs, forms)`; "find_mix": of each bass's own mix among all mixes. `scale` is 1 /
    temperature. Negatives marked in `alike` `(pairs, basses)` and `hard_alike` `(pairs, forms)` sound (nearly) like
    the true bass and are left out.

    Raises:
        ValueError: fewer basses than mixes, or masks of another shape.
    """
    pairs, basses = similarity.shape
    if basses < pairs or alike.shape != similarity.shape:
        raise ValueError(f"expected at least {pairs} basses and a mask of the same shape, got {similarity.shape}")
    target = torch.arange(pairs, device=similarity.device)
    own = F.one_hot(target, basses).bool()
    logits = (scale * similarity.float()).masked_fill(alike & ~own, float("-inf"))
    candidates = logits
    if hard is not None:
        damaged = scale * hard.float()
        if hard_alike is not None:
            damaged = damaged.masked_fill(hard_alike, float("-inf"))
        candidates = torch.cat([logits, damaged], dim=1)
    return {
        "find_bass": F.cross_entropy(candidates, target),
        "find_mix": F.cross_entropy(logits[:, :pairs].T, target),
    }


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


# What sounds alike is no negative


def alike(basses: Tensor, pairs: int, *, threshold: float) -> Tensor:
    """Which basses `(count, bins, frames)` nobody could tell from each pair's own, the first `pairs` of them.

    Returns booleans `(pairs, count)`. A bass line that repeats every beat is itself when it comes a beat late. Alike
    are those whose spectra, each bin without its mean over all basses, correlate beyond `threshold`.
    """
    centred = basses.float() - basses.float().mean(dim=(0, 2), keepdim=True)
    flat = F.normalize(centred.flatten(1), dim=1)
    return flat[:pairs] @ flat.T > threshold


def shifted_alike(views: Tensor, *, threshold: float, steps: tuple[int, ...] = STEPS) -> Tensor:
    """Which basses `(pairs, bins, view frames)` are (nearly) themselves when shifted: booleans `(pairs, steps)`.

    A line that repeats every beat is itself a beat late. Spectra are compared without each bin's mean over all basses,
    as in `alike`.
    """
    centred = views.float() - views.float().mean(dim=(0, 2), keepdim=True)
    columns = []
    for step in steps:
        frames = STRIDE * abs(step)
        agreement = F.cosine_similarity(centred[:, :, :-frames].flatten(1), centred[:, :, frames:].flatten(1), dim=1)
        columns.append(agreement > threshold)
    return torch.stack(columns, dim=1)


# The whole batch


@dataclass(frozen=True)
class Negatives:
    """What is known of a batch's negatives before anything is embedded."""

    alike: Tensor
    """Which basses sound like each pair's own, booleans `(pairs, basses)`."""
    shifted_alike: Tensor
    """Which delays and advances leave each pair's own bass (nearly) as it was, booleans `(pairs, shifts)`."""

    @classmethod
    def of(cls, basses: Tensor, pairs: int, *, threshold: float) -> "Negatives":
        """Of basses as stored, uint8 `(basses, rows, frames)`, the true ones of all pairs first."""
        return cls(alike(basses, pairs, threshold=threshold), shifted_alike(basses[:pairs], threshold=threshold))


def batch_losses(
    mix: Tensor, kinds: Tensor, scale: Tensor, *, negatives: Negatives, accelerator: Accelerator
) -> dict[str, Tensor]:
    """Losses of a whole batch by name, and "loss", their weighted sum, from this process's embeddings."""
    mix, bass = gathered(mix, kinds, accelerator)
    true = bass[: len(mix)]
    losses = info_nce(
        similarity(mix, bass),
        scale,
        alike=negatives.alike,
        hard=torch.cat([transposed_similarity(mix, true), shifted_similarity(mix, true)], dim=1),
        hard_alike=torch.cat([negatives.alike.new_zeros(len(mix), PITCH_CLASSES - 1), negatives.shifted_alike], dim=1),
    )
    return {"loss": torch.stack([LOSS_WEIGHTS[name] * value for name, value in losses.items()]).sum(), **losses}


def gathered(mix: Tensor, kinds: Tensor, accelerator: Accelerator) -> tuple[Tensor, Tensor]:
    """Embeddings of all processes in the order of the batch, with gradients: mixes, and basses kind by kind."""
    if accelerator.num_processes == 1:
        return mix, kinds.flatten(0, 1)
    mixes = all_gather(mix.contiguous())
    basses = all_gather(kinds.contiguous())
    return torch.cat(mixes), torch.cat(basses, dim=1).flatten(0, 1)


# A batch of which only a part is embedded at a time


Embedded = tuple[Tensor, Tensor, Tensor]
"""Mixes `(pairs, dims, frames)`, basses `(kinds, pairs, dims, frames)`, and 1 / temperature."""


def backward(
    embed: Callable[[range], Embedded],
    parts: Sequence[range],
    losses_of: Callable[..., dict[str, Tensor]],
    *,
    model: nn.Module,
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Add the gradient of `losses_of(mixes, basses, scale)["loss"]` to the model's weights; gives all losses by name.

    `embed` must give the same for a part each time it is called, dropout included.

    Each part is embedded twice: once without a graph, for the loss and its gradient at the embeddings, and once to
    carry that gradient back to the weights (Gao et al., "Scaling deep contrastive learning batch size under memory
    limited setup", 2021). The negatives are those of the whole batch however small the parts are.
    """
    if len(parts) == 1:
        losses = losses_of(*embed(parts[0]))
        accelerator.backward(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}
    with torch.no_grad():
        pieces = [embed(part) for part in parts]
    mixes = torch.cat([mix for mix, _, _ in pieces]).requires_grad_()
    basses = torch.cat([bass for _, bass, _ in pieces], dim=1).requires_grad_()
    scale = pieces[0][2].detach().clone().requires_grad_()
    losses = losses_of(mixes, basses, scale)
    gradients = torch.autograd.grad(losses["loss"], (mixes, basses, scale))
    first = 0
    for part in added_up(parts, model, accelerator):
        own = slice(first, first := first + len(part))
        mix, bass, factor = embed(part)
        carried = (mix * gradients[0][own]).sum() + (bass * gradients[1][:, own]).sum()
        accelerator.backward(carried + factor * gradients[2] / len(parts))
    return {name: value.detach() for name, value in losses.items()}
