"""Symmetric InfoNCE over a batch of pairs, with further basses that are known not to fit."""

import torch
from torch import Tensor
from torch.nn import functional as F


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


def alike(basses: Tensor, pairs: int, *, threshold: float) -> Tensor:
    """Which basses `(count, bins, frames)` nobody could tell from each pair's own, the first `pairs` of them.

    Returns booleans `(pairs, count)`. A bass line that repeats every beat is itself when it comes a beat late. Alike
    are those whose spectra, each bin without its mean over all basses, correlate beyond `threshold`.
    """
    centred = basses.float() - basses.float().mean(dim=(0, 2), keepdim=True)
    flat = F.normalize(centred.flatten(1), dim=1)
    return flat[:pairs] @ flat.T > threshold
