"""The gradient of a loss over all pairs of a batch, of which only a part is embedded at a time.

Each part is embedded twice: once without a graph, for the loss and its gradient at the embeddings, and once to carry
that gradient back to the weights (Gao et al., "Scaling deep contrastive learning batch size under memory limited
setup", 2021). The negatives are those of the whole batch however small the parts are.
"""

import contextlib
from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

Embedded = tuple[Tensor, Tensor, Tensor]
"""Mixes `(pairs, dims, frames)`, basses `(kinds, pairs, dims, frames)`, and 1 / temperature."""


def backward(
    embed: Callable[[range], Embedded],
    parts: Sequence[range],
    losses_of: Callable[..., dict[str, Tensor]],
    *,
    model: nn.Module,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Add the gradient of `losses_of(mixes, basses, scale)["loss"]` to the model's weights; gives all losses by name.

    `embed` must give the same for a part each time it is called, dropout included.
    """
    if len(parts) == 1:
        losses = losses_of(*embed(parts[0]))
        accelerator.backward(losses["loss"])
        return {name: value.item() for name, value in losses.items()}
    with torch.no_grad():
        pieces = [embed(part) for part in parts]
    mixes = torch.cat([mix for mix, _, _ in pieces]).requires_grad_()
    basses = torch.cat([bass for _, bass, _ in pieces], dim=1).requires_grad_()
    scale = pieces[0][2].detach().clone().requires_grad_()
    losses = losses_of(mixes, basses, scale)
    gradients = torch.autograd.grad(losses["loss"], (mixes, basses, scale))
    first = 0
    for number, part in enumerate(parts):
        own = slice(first, first := first + len(part))
        apart = contextlib.nullcontext() if number == len(parts) - 1 else accelerator.no_sync(model)
        with apart:
            mix, bass, factor = embed(part)
            carried = (mix * gradients[0][own]).sum() + (bass * gradients[1][:, own]).sum()
            accelerator.backward(carried + factor * gradients[2] / len(parts))
    return {name: value.item() for name, value in losses.items()}
