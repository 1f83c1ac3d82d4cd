"""One optimisation step of the paper's own sizes on the CPU; the whole chain of its layout at tiny sizes."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import music
from valid_audio import assert_audio_valid

from reference_model import codec, train_autoencoder, train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.diffusion import v_loss
from reference_model.latents import encode_pair, latent_pairs
from reference_model.loading import load
from reference_model.pipeline import Sampling
from reference_model.presets import PRESETS, R_TIME, Stage
from reference_model.train_autoencoder import AutoencoderTraining, TrainAutoencoder
from reference_model.train_diffusion import TrainingConfig
from reference_model.unet import UNet


def test_the_autoencoder_with_its_critics(tmp_path: Path) -> None:
    clip = 0.1 * np.random.default_rng(0).standard_normal((2, 4 * R_TIME)).astype(np.float32)
    settings = TrainAutoencoder(which="bass", run=tmp_path, preset="paper", batch_size=1, crop_frames=4, precision="no")
    training = AutoencoderTraining(settings, [clip], [clip])
    before = [parameter.detach().clone() for parameter in training.autoencoder.parameters()]
    row, names = training.learn(training.draw(0))
    assert {"reconstruction", "mssd", "adversarial", "critic"} < row.keys() and np.isfinite(list(row.values())).all()
    assert len(names) == 1
    for old, new in zip(before, training.autoencoder.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_the_unet() -> None:
    torch.manual_seed(0)
    unet, config = UNet(PRESETS["paper"].unet), PRESETS["paper"].unet
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


def test_the_chain_of_its_layout_at_tiny_sizes(tmp_path: Path) -> None:
    stages = (Stage(2, 8, 1), Stage(2, 8, 1), Stage(2, 12, 1), Stage(2, 12, 1))
    sizes = {
        which: dataclasses.replace(PRESETS["paper"].autoencoders[which], dims=dims, encoder=stages, decoder=stages)
        for which, dims in (("mix", 16), ("bass", 8))
    }
    variant = dataclasses.replace(PRESETS["paper"], autoencoders=sizes, unet=PRESETS["tiny"].unet)
    clips = [music(64 * R_TIME / 44_100, seed=seed) for seed in range(3)]
    coders = {}
    for which in ("mix", "bass"):
        settings = TrainAutoencoder(which=which, run=tmp_path / which, preset="paper", steps=2, batch_size=2)
        settings = dataclasses.replace(
            settings, variant=variant, crop_frames=4, fit_frames=512, precision="no", validation_clips=1
        )
        coders[which] = coder = train_autoencoder.train(settings, clips, clips[:1])
        latent = torch.cat([codec.encode(coder, torch.from_numpy(clip)[None]) for clip in clips], dim=2)
        assert latent.mean(dim=(0, 2)).abs().max() < 0.2
        torch.testing.assert_close(latent.std(dim=(0, 2)), torch.ones(coder.config.dims), atol=0.2, rtol=0)
        _decodes_as_before(coder, latent)
        shutil.copy(tmp_path / which / "weights.safetensors", tmp_path / f"{which}_autoencoder.safetensors")
    pairs = latent_pairs(
        list("abc"),
        lambda chosen: (encode_pair(coders["mix"], coders["bass"], clips[i], clips[i]) for i in chosen),
        tmp_path / "latents",
        frames=32,
    )
    config = TrainingConfig(run=tmp_path, preset="paper", steps=2, batch_size=2, frames=32, device="cpu")
    train_diffusion.train(dataclasses.replace(config, variant=variant, precision="no", sample_every=0), pairs, pairs)
    with pytest.warns(UserWarning, match="does not say"):
        model = load(tmp_path)
    bass = model.accompany(clips[0][None], style=clips[1][None], seeds=[0], sampling=Sampling(steps=2))
    assert_audio_valid(bass[0], samples=64 * R_TIME)


def _decodes_as_before(coder: Autoencoder, latent: torch.Tensor) -> None:
    """Standardising changes the latents that are handed around, not the audio that they stand for."""
    plain = Autoencoder(coder.config)
    plain.load_state_dict(coder.state_dict())
    plain.latent_mean.zero_()
    plain.latent_std.fill_(1.0)
    raw = latent[..., :4] * coder.latent_std[:, None] + coder.latent_mean[:, None]
    torch.testing.assert_close(codec.decode(plain, raw), codec.decode(coder, latent[..., :4]), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_a_preset_without_autoencoders_says_how_to_make_them(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for given in ([], ["--bass-autoencoder", str(tmp_path / "bass.safetensors")]):
        command = ["train_diffusion", "--preset", preset, "--run", str(tmp_path / "run"), *given]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stop:
            train_diffusion.main()
        message = capsys.readouterr().err
        assert stop.value.code == 2 and message.count("\n") == 1
        assert f"`python -m reference_model.train_autoencoder --preset {preset} --which mix --run runs/mix`" in message
        assert "--bass-autoencoder runs/bass/weights.safetensors" in message
    assert not (tmp_path / "run").exists()
