"""The U-Net: shapes and gradients for every preset, paper's size, any length, and its positional bias."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from bassbench.errors import BadInputError
from bassbench.training.pretrained import read_metadata
from reference_model.positional_bias import Attention, PositionalBias, Positions, signed_log_distance, sinusoids
from reference_model.presets import PRESETS, UNetConfig
from reference_model.unet import UNet, level_embedding


def awake(config: UNetConfig) -> UNet:
    """A U-Net whose output layer is not zero."""
    torch.manual_seed(0)
    unet = UNet(config)
    nn.init.normal_(unet.output.weight, std=0.05)
    return unet.eval()


def inputs(config: UNetConfig, batch: int = 2, frames: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(batch, config.bass_dims, frames, generator=generator)
    mix = torch.randn(batch, config.mix_dims, frames, generator=generator)
    return noisy, torch.rand(batch, generator=generator), mix


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_shape_finite_and_a_gradient_reaches_every_parameter(preset: str) -> None:
    config = PRESETS[preset].unet
    unet = awake(config).train()
    noisy, level, mix = inputs(config)
    v = unet(noisy, level, mix)
    assert v.shape == noisy.shape and v.dtype == torch.float32 and torch.isfinite(v).all()
    (v - noisy).square().mean().backward()
    # The last bias of a positional MLP is the same for all keys: softmax does not see it.
    deaf = {name for name, p in unet.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert {name for name in deaf if not name.endswith("bias.layers.4.bias")} == set()


@pytest.mark.parametrize(("preset", "millions", "tolerance"), [("small", 7.0, 0.3), ("paper", 42.0, 0.03)])
def test_parameter_count(preset: str, millions: float, tolerance: float) -> None:
    with torch.device("meta"):
        unet = UNet(PRESETS[preset].unet)
    assert sum(p.numel() for p in unet.parameters()) / 1e6 == pytest.approx(millions, rel=tolerance)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_untrained_output_is_zero(preset: str) -> None:
    config = PRESETS[preset].unet
    assert UNet(config)(*inputs(config, 1, 8)).abs().max() == 0


@pytest.mark.parametrize("frames", [1, 2, 7, 33])
def test_any_number_of_frames(frames: int) -> None:
    config = dataclasses.replace(PRESETS["tiny"].unet, widths=(16, 16, 16))
    v = awake(config)(*inputs(config, 1, frames))
    assert v.shape[2] == frames and torch.isfinite(v).all()


def test_long_input_is_treated_like_short() -> None:
    config = dataclasses.replace(PRESETS["tiny"].unet, attention=0)
    unet = awake(config)
    noisy, level, mix = inputs(config, 1, 4096)
    whole = unet(noisy, level, mix)
    part = unet(noisy[..., 1024:1280], level, mix[..., 1024:1280])
    torch.testing.assert_close(whole[..., 1024 + 64 : 1280 - 64], part[..., 64:-64], atol=1e-5, rtol=1e-5)
    attending = awake(PRESETS["tiny"].unet)(noisy, level, mix)
    assert attending.shape == whole.shape and torch.isfinite(attending).all()


def test_examples_of_a_batch_do_not_see_each_other() -> None:
    unet = awake(PRESETS["tiny"].unet)
    noisy, level, mix = inputs(unet.config, 3)
    together = unet(noisy, level, mix)
    alone = torch.cat([unet(noisy[i : i + 1], level[i : i + 1], mix[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_output_depends_on_level_and_mix() -> None:
    unet = awake(PRESETS["tiny"].unet)
    noisy, level, mix = inputs(unet.config)
    v = unet(noisy, level, mix)
    assert (v - unet(noisy, 1 - level, mix)).abs().max() > 1e-4
    assert (v - unet(noisy, level, torch.zeros_like(mix))).abs().max() > 1e-4


def test_level_embedding_tells_close_levels_apart() -> None:
    embedding = level_embedding(torch.linspace(0, 1, 65), 32)
    assert embedding.shape == (65, 32)
    assert torch.cdist(embedding, embedding).add(torch.eye(65) * 9).min() > 0.1


def test_bias_depends_on_the_offset_alone() -> None:
    bias = PositionalBias(heads=2)
    short, long = bias(5), bias(40)
    full = PositionalBias.square(long, range(40))
    assert full.shape == (2, 40, 40)
    torch.testing.assert_close(full[:, 1:, 1:], full[:, :-1, :-1])
    torch.testing.assert_close(PositionalBias.square(short, range(5)), full[:, 10:15, 10:15])
    torch.testing.assert_close(PositionalBias.square(long, range(7, 9)), full[:, 7:9])


def test_bias_is_the_mlp_of_i_minus_j() -> None:
    bias = PositionalBias(heads=3)
    square = PositionalBias.square(bias(6), range(6))
    i, j = 4, 1
    expected = bias.layers(signed_log_distance(torch.tensor([i - j]))[:, None])[0]
    torch.testing.assert_close(square[:, i, j], expected)
    assert not torch.allclose(square[:, i, j], square[:, j, i])


def test_distance_is_odd_and_grows() -> None:
    offsets = torch.arange(-2000, 2001)
    distance = signed_log_distance(offsets)
    torch.testing.assert_close(distance, -distance.flip(0))
    assert (distance.diff() > 0).all() and distance.max() < 8


def test_attention_is_softmax_of_scores_plus_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, nn.Identity())
    image = torch.randn(2, 8, 1, 11)
    frames = image.squeeze(2).transpose(1, 2)
    query, key, value = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in attention.qkv(frames).chunk(3, dim=2))
    bias = PositionalBias.square(attention.bias(11), range(11)).expand(2, -1, -1, -1)
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    expected = image + attention.output(mixed.transpose(1, 2).flatten(2)).transpose(1, 2).unsqueeze(2)
    torch.testing.assert_close(attention(image), expected, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(Attention, "_ROWS", 4)
    torch.testing.assert_close(attention(image), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["absolute", "none"])
def test_other_positions_have_no_bias_and_every_parameter_learns(positions: Positions) -> None:
    config = dataclasses.replace(PRESETS["tiny"].unet, positions=positions)
    unet = awake(config).train()
    v = unet(*inputs(config))
    v.square().mean().backward()
    assert not any("bias.layers" in name for name, _ in unet.named_parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 1e-12 for p in unet.parameters())


def test_only_absolute_positions_tell_where_equal_frames_are() -> None:
    torch.manual_seed(0)
    same = torch.randn(1, 8, 1, 1).expand(-1, -1, -1, 6)
    for positions, told in (("dynamic", False), ("none", False), ("absolute", True)):
        output = Attention(8, 2, nn.Identity(), positions)(same).detach()
        assert bool((output - output[..., :1]).abs().max() > 1e-3) == told


def test_sinusoids_are_those_of_the_paper_and_do_not_depend_on_the_length() -> None:
    places = sinusoids(50, 8)
    assert places.shape == (50, 8)
    torch.testing.assert_close(places[3, [0, 4]], torch.tensor([math.sin(3), math.cos(3)]))
    torch.testing.assert_close(places[3, [1, 5]], torch.tensor([math.sin(0.3), math.cos(0.3)]))
    torch.testing.assert_close(sinusoids(9, 8), places[:9])


def test_weights_without_a_word_on_positions_have_the_bias() -> None:
    old = {name: value for name, value in PRESETS["small"].unet.to_dict().items() if name != "positions"}
    assert UNetConfig.from_dict(old) == PRESETS["small"].unet


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    unet = awake(PRESETS["tiny"].unet)
    unet.save_pretrained(tmp_path / "unet.safetensors", dtype=torch.float32)
    again = UNet.from_pretrained(tmp_path / "unet.safetensors")
    arguments = inputs(unet.config)
    assert again.config == unet.config
    torch.testing.assert_close(again(*arguments), unet(*arguments))


def test_the_autoencoders_are_recorded(tmp_path: Path) -> None:
    unet = awake(PRESETS["tiny"].unet)
    unet.save_pretrained(tmp_path / "unet.safetensors", encoders={"mix": "a", "bass": "b"})
    assert read_metadata(tmp_path / "unet.safetensors")["encoders"] == {"mix": "a", "bass": "b"}
    assert UNet.from_pretrained(tmp_path / "unet.safetensors").config == unet.config
    unet.save_pretrained(tmp_path / "unet.safetensors")
    assert "encoders" not in read_metadata(tmp_path / "unet.safetensors")
    (tmp_path / "unet.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInputError, match="safetensors"):
        read_metadata(tmp_path / "unet.safetensors")


def test_damaged_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    UNet(PRESETS["tiny"].unet).save_pretrained(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(BadInputError, match="safetensors"):
        UNet.from_pretrained(path)
    path.write_bytes(whole.replace(b"[16, 24]", b"[16, 32]").replace(b"[16,24]", b"[16,32]"))
    with pytest.raises(BadInputError, match="do not fit"):
        UNet.from_pretrained(path)
    with pytest.raises(BadInputError, match="no such"):
        UNet.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("change", [{"heads": 5}, {"attention": 3}, {"widths": ()}, {"level_dims": 7}])
def test_impossible_configurations_are_refused(change: dict) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(PRESETS["tiny"].unet, **change)
    with pytest.raises(BadInputError):
        UNetConfig.from_dict({**PRESETS["tiny"].unet.to_dict(), "wings": 2})
