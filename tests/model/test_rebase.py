"""A U-Net moved to rotated latents does on them what it did before."""

import numpy as np
import torch

from reference_model.presets import PRESETS
from reference_model.rebase import linear_map, moved, rotation
from reference_model.unet import UNet


def test_a_moved_unet_gives_the_rotated_answer() -> None:
    torch.manual_seed(0)
    config = PRESETS["tiny"].unet
    unet = UNet(config).eval().requires_grad_(False)
    torch.nn.init.normal_(unet.output.weight, std=0.1)
    turn = rotation(torch.randn(config.bass_dims, config.bass_dims))
    mix_map = torch.randn(config.mix_dims, config.mix_dims)
    noisy, mix, level = torch.randn(2, config.bass_dims, 16), torch.randn(2, config.mix_dims, 16), torch.rand(2)
    before = unet(turn @ noisy, level, mix_map @ mix)
    after = moved(unet, mix_map, turn)(noisy, level, mix)
    torch.testing.assert_close(turn @ after, before, rtol=1e-4, atol=1e-5)
    assert before.abs().max() > 0.01


def test_the_map_is_found_and_its_rotation_is_orthogonal() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((6, 6))
    source = [generator.standard_normal((6, 50)) for _ in range(3)]
    found, share = linear_map(source, [matrix @ part for part in source])
    np.testing.assert_allclose(found.numpy(), matrix, rtol=1e-4, atol=1e-5)
    assert share > 0.999
    turn = rotation(found)
    torch.testing.assert_close(turn @ turn.T, torch.eye(6), rtol=1e-4, atol=1e-5)
    _, unrelated = linear_map(source, [generator.standard_normal((6, 50)) for _ in range(3)])
    assert unrelated < 0.3
