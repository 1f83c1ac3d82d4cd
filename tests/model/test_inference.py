"""The U-Net prepared for sampling gives exactly what the plain one gives, and never that of former weights."""

import functools

import pytest
import torch
from torch import nn
from torch._inductor.exc import InvalidCxxCompiler

from bassbench.errors import BadInputError
from reference_model.inference import prepared
from reference_model.presets import PRESETS
from reference_model.unet import UNet


@pytest.fixture()
def unet() -> UNet:
    torch.manual_seed(0)
    unet = UNet(PRESETS["tiny"].unet).eval().requires_grad_(False)
    nn.init.normal_(unet.output.weight, std=0.05)
    return unet


def evaluated(unet: UNet, frames: int, *, bfloat16: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    noisy = torch.randn(2, unet.config.bass_dims, frames, generator=generator)
    mix = torch.randn(2, unet.config.mix_dims, frames, generator=generator)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        return unet(noisy, torch.full((2,), 0.3), mix)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_it_gives_the_same_at_any_length(unet: UNet, bfloat16: bool) -> None:
    fast = prepared(unet, bfloat16=bfloat16)
    for frames in (16, 16, 40, 7, 16):
        found, expected = (evaluated(network, frames, bfloat16=bfloat16) for network in (fast, unet))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_it_is_made_once_for_a_set_of_weights(unet: UNet) -> None:
    first = prepared(unet, bfloat16=False)
    assert prepared(unet, bfloat16=False) is first and prepared(unet, bfloat16=True) is not first
    with torch.no_grad():
        unet.input.weight.mul_(1.5)
    changed = prepared(unet, bfloat16=False)
    assert changed is not first
    torch.testing.assert_close(evaluated(changed, 16, bfloat16=False), evaluated(unet, 16, bfloat16=False))


def test_compiled_it_gives_the_same(unet: UNet) -> None:
    fast = prepared(unet, bfloat16=False, compiled=True)
    assert prepared(unet, bfloat16=False, compiled=True) is fast and prepared(unet, bfloat16=False) is not fast
    noisy, level, mix = torch.randn(2, 8, 24), torch.tensor([0.3, 0.9]), torch.randn(2, 16, 24)
    with torch.inference_mode():
        torch.testing.assert_close(fast(noisy, level, mix), unet(noisy, level, mix), atol=1e-3, rtol=0)


def test_without_a_compiler_it_says_so(unet: UNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise InvalidCxxCompiler

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=missing))
    fast = prepared(unet, bfloat16=False, compiled=True)
    with pytest.raises(BadInputError, match=r"cannot be compiled here .* install a C"):
        fast(torch.randn(1, 8, 16), torch.ones(1), torch.randn(1, 16, 16))


def test_the_model_itself_is_left_alone(unet: UNet) -> None:
    names = set(unet.state_dict())
    prepared(unet, bfloat16=True)
    assert set(unet.state_dict()) == names
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}
