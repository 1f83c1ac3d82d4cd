"""One training step of each network: forward, backward, optimiser; the data are at hand already."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from measuring import Measure
from subjects import CLIP_FRAMES, noise, seconds
from torch import Tensor

from contrastive.config import MATCHERS
from contrastive.encoder import Matcher, similarity
from contrastive.loss import info_nce
from reference_model.autoencoder import Autoencoder
from reference_model.diffusion import v_loss
from reference_model.losses import Objective, draw_hops, weighted_sum
from reference_model.presets import AUTOENCODERS, RECIPES
from reference_model.unet import UNETS, UNet

CROP = 16
"""Latent frames of an autoencoder's crop, 1.5 s."""


def _step(
    network: torch.nn.Module, loss: Callable[[], Tensor], device: torch.device, dtype: str
) -> Callable[[], Tensor]:
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-6, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            value = loss()
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def test_diffusion_step(measure: Measure, preset: str, device: torch.device, batch: int, dtype: str) -> None:
    torch.manual_seed(0)
    unet = UNet(UNETS[preset]).to(device).train()
    bass, noisy = (torch.randn(batch, unet.config.bass_dims, CLIP_FRAMES, device=device) for _ in range(2))
    mix, level = torch.randn(batch, unet.config.mix_dims, CLIP_FRAMES, device=device), torch.rand(batch, device=device)
    step = _step(unet, lambda: v_loss(unet, bass, mix, noise=noisy, level=level).mean(), device, dtype)
    loss = measure(
        step, group="training step", case="diffusion", audio=batch * seconds(CLIP_FRAMES), dtype=dtype, batch=batch
    )
    assert loss.isfinite()


@pytest.mark.parametrize("which", ["mix", "bass"])
def test_autoencoder_step(
    measure: Measure, preset: str, device: torch.device, which: str, batch: int, dtype: str
) -> None:
    torch.manual_seed(0)
    coder = Autoencoder(AUTOENCODERS[preset][which]).to(device)
    coder.network_dtype = torch.bfloat16 if dtype == "bfloat16" else None
    recipe = RECIPES[preset]
    weights = {name: weight for name, weight in recipe.weights.items() if name != "adversarial"}
    objective, hops = Objective(coder, weights).to(device), draw_hops(np.random.default_rng(0), recipe.resolutions)
    audio = torch.from_numpy(noise(batch, CROP)).to(device)
    quiet = torch.zeros(batch, CROP, coder.config.dims, device=device)
    step = _step(objective, lambda: weighted_sum(objective(audio, quiet, hops)[0], weights), device, "float32")
    loss = measure(
        step,
        group="training step",
        case=f"{which} autoencoder, without critics",
        audio=batch * seconds(CROP),
        dtype=dtype,
        batch=batch,
    )
    assert loss.isfinite()


def test_matcher_step(measure: Measure, preset: str, device: torch.device, dtype: str) -> None:
    """24 pairs of 8 s, as its trainer's default."""
    torch.manual_seed(0)
    matcher, pairs = Matcher(MATCHERS[preset]).to(device).train(), 24
    sizes = matcher.config.features
    frames = round(8 * sizes.frames_per_second)
    mix, bass = torch.rand(2, pairs, sizes.view + sizes.upper_bands, frames, device=device)
    none = torch.zeros(pairs, pairs, dtype=torch.bool, device=device)

    def loss() -> Tensor:
        mixes, basses, scale = matcher(mix, bass)
        return torch.stack(list(info_nce(similarity(mixes, basses), scale, alike=none).values())).sum()

    step = _step(matcher, loss, device, dtype)
    assert measure(
        step, group="training step", case="matcher", audio=2 * 8.0 * pairs, dtype=dtype, batch=pairs
    ).isfinite()
