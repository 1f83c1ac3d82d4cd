"""The losses of a whole batch: every pair's negatives are those of all processes, and damaged forms of its own bass."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from contrastive.encoder import PITCH_CLASSES, similarity
from contrastive.loss import alike, info_nce
from contrastive.self_negatives import shifted_alike, shifted_similarity, transposed_similarity

LOSS_WEIGHTS = {"find_bass": 0.5, "find_mix": 0.5}


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
