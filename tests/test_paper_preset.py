"""One optimisation step of the paper's own sizes on the CPU, on crops that are short enough for seconds."""

from pathlib import Path

import numpy as np
import torch

from bassbench.runs import RunFolder
from reference_model.diffusion import v_loss
from reference_model.presets import R_TIME
from reference_model.train_autoencoder import TrainAutoencoder, prepare, train_step
from reference_model.unet import UNETS, UNet


def test_the_autoencoder_with_its_critics(tmp_path: Path) -> None:
    clip = 0.1 * np.random.default_rng(0).standard_normal((2, 4 * R_TIME)).astype(np.float32)
    settings = TrainAutoencoder(which="bass", run=tmp_path, preset="paper", batch_size=1, crop_frames=4, precision="no")
    state = prepare(settings, [clip], RunFolder(tmp_path))
    before = [parameter.detach().clone() for parameter in state.autoencoder.parameters()]
    row = train_step(state, settings, [clip])
    assert {"reconstruction", "mssd", "adversarial", "critic"} < row.keys() and np.isfinite(list(row.values())).all()
    assert state.step == 1
    for old, new in zip(before, state.autoencoder.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_the_unet() -> None:
    torch.manual_seed(0)
    unet, config = UNet(UNETS["paper"]), UNETS["paper"]
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4, betas=(0.9, 0.999))
    mix, bass, noise = (torch.randn(1, dims, 16) for dims in (config.mix_dims, config.bass_dims, config.bass_dims))
    losses = []
    for _ in range(2):
        loss = v_loss(unet, bass, mix, noise=noise, level=torch.tensor([0.5])).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]
