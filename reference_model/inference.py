"""A U-Net as sampling evaluates it, many times over: what does not change between evaluations is computed once.

The results are the same. In bfloat16 the weights of convolutions, linear layers and norms are cast once instead of at
every evaluation, which autocast does for frozen weights; positional biases are kept for the last length.
"""

import copy
import weakref

import torch
from torch import Tensor, nn

from reference_model.positional_bias import Attention, PositionalBias
from reference_model.unet import ChannelNorm, UNet

_PREPARED: "weakref.WeakKeyDictionary[UNet, dict[bool, tuple[int, UNet]]]" = weakref.WeakKeyDictionary()


class RememberedBias(nn.Module):
    """A positional bias that is computed anew only for another length than the last."""

    def __init__(self, bias: PositionalBias) -> None:
        super().__init__()
        self.bias = bias
        self._last: tuple[int, Tensor] | None = None

    def forward(self, length: int) -> Tensor:
        """As `PositionalBias.forward`."""
        if self._last is None or self._last[0] != length:
            self._last = length, self.bias(length)
        return self._last[1]


def prepared(unet: UNet, *, bfloat16: bool) -> UNet:
    """A frozen copy for inference, under autocast if `bfloat16`; the same one until a weight of `unet` changes."""
    version = sum(0 if p.is_inference() else p._version for p in unet.parameters())
    copies = _PREPARED.setdefault(unet, {})
    if bfloat16 not in copies or copies[bfloat16][0] != version:
        copies[bfloat16] = version, _copied(unet, bfloat16)
    return copies[bfloat16][1]


def _copied(unet: UNet, bfloat16: bool) -> UNet:
    twin = copy.deepcopy(unet).eval().requires_grad_(False)
    for module in list(twin.modules()):
        if bfloat16 and isinstance(module, nn.Conv2d | nn.Linear | ChannelNorm):
            module.to(torch.bfloat16)
        if isinstance(module, Attention) and isinstance(module.bias, PositionalBias):
            module.bias = RememberedBias(module.bias)  # type: ignore[assignment]
    return twin
