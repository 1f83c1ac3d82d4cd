"""The diffusion model: one evaluation of the U-Net, and sampling with and without guidance."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from measuring import Measure
from subjects import CLIP_FRAMES, reference_model, seconds

from reference_model.inference import prepared
from reference_model.pipeline import Sampling


@pytest.mark.parametrize("how", ["plain", "prepared", "compiled"])
@pytest.mark.parametrize("frames", [CLIP_FRAMES, 2048])
def test_evaluation(
    measure: Measure, preset: str, device: torch.device, costly: bool, frames: int, how: str, batch: int, dtype: str
) -> None:
    """As in training, as sampling does it, and compiled, which is ready after a minute only."""
    if not costly and (how == "compiled" or frames * batch > 16 * CLIP_FRAMES):
        pytest.skip("takes long on a CPU (--costly)")
    unet = reference_model(preset, device).unet
    network: Callable[..., torch.Tensor] = unet
    if how != "plain":
        network = prepared(unet, bfloat16=dtype == "bfloat16", compiled=how == "compiled")
    generator = torch.Generator().manual_seed(0)
    noisy, mix = (
        torch.randn(batch, dims, frames, generator=generator).to(device)
        for dims in (unet.config.bass_dims, unet.config.mix_dims)
    )
    level = torch.full((batch,), 0.5, device=device)

    def evaluate() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            return network(noisy, level, mix)

    v = measure(
        evaluate,
        group="U-Net evaluation",
        case=f"{frames} frames, {how}",
        audio=batch * seconds(frames),
        dtype=dtype,
        batch=batch,
        frames=frames,
    )
    assert v.shape == noisy.shape


@pytest.mark.parametrize("guidance", ["guided", "unguided"])
@pytest.mark.parametrize("steps", [8, 32, 64])
def test_sampling(
    measure: Measure, preset: str, device: torch.device, costly: bool, steps: int, guidance: str, batch: int, dtype: str
) -> None:
    if not costly and (steps > 8 and batch > 1):
        pytest.skip("takes long on a CPU (--costly)")
    model = dataclasses.replace(reference_model(preset, device), bfloat16=dtype == "bfloat16")
    mix = torch.randn(batch, model.unet.config.mix_dims, CLIP_FRAMES, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(steps=steps, cfg=2.0 if guidance == "guided" else 1.0)
    latent = measure(
        lambda: model.generate_latents(mix, seeds=range(batch), sampling=sampling),
        group="sampling",
        case=f"{steps} steps, {guidance}",
        audio=batch * seconds(CLIP_FRAMES),
        dtype=dtype,
        batch=batch,
        steps=steps,
        guided=guidance == "guided",
    )
    assert latent.isfinite().all()
