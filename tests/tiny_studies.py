"""What the tests of the sampling studies share: tiny random weights, and few short clips of one made song."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bassbench.results.rows import Row
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Song
from contrastive.config import MATCHERS
from contrastive.encoder import Matcher
from experiments import playing
from reference_model.autoencoder import Autoencoder
from reference_model.latents import encoder_hash
from reference_model.presets import PRESETS
from reference_model.unet import UNet

SAMPLES = 64 * 4096
MATCHER = "matcher.safetensors"


def save_tiny_weights(folder: Path) -> Path:
    """A whole model and a matcher, random but not silent."""
    torch.manual_seed(0)
    encoders = {}
    for which in ("mix", "bass"):
        coder = Autoencoder(PRESETS["tiny"].autoencoders[which])
        assert coder.linear is not None
        torch.nn.init.orthogonal_(coder.linear.components)
        coder.linear.readout.normal_(std=0.1)
        coder.feature_mean.fill_(-7.0)
        coder.latent_std.fill_(10.0)
        coder.save_pretrained(folder / f"{which}_autoencoder.safetensors")
        encoders[which] = encoder_hash(coder)
    unet = UNet(PRESETS["tiny"].unet)
    torch.nn.init.normal_(unet.output.weight, std=0.3)
    unet.save_pretrained(folder / "unet.safetensors", encoders=encoders)
    Matcher(MATCHERS["tiny"].sizes).save_pretrained(folder / MATCHER)
    return folder


def few_clips(weights: Path, output: Path) -> dict[str, Any]:
    """Settings of a study of these weights that takes seconds."""
    return {
        "clips": 4,
        "reference_clips": 5,
        "embedder": "log-mel",
        "weights": str(weights),
        "matcher": weights / MATCHER,
        "output": output,
        "batch_size": 3,
    }


def use_made_songs(song: Song, monkeypatch: pytest.MonkeyPatch) -> list[ClipRequest]:
    """Ten clips of the made song in place of the test split, and few replicates of the bootstrap."""
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(10)]
    monkeypatch.setattr(playing, "clip_requests", lambda split: requests)
    monkeypatch.setattr(playing, "_REPLICATES", 10)
    return requests


def made_row(system: str, metric: str, value: float, low: float, high: float, **setting: float) -> Row:
    """A row as a study would have measured it."""
    return Row(
        experiment="made",
        system=system,
        setting=setting,
        metric=metric,
        clips=4,
        seed=0,
        protocol={},
        value=value,
        low=low,
        high=high,
        seconds=1.0,
        device="cpu",
        commit="none",
        versions={},
    )
