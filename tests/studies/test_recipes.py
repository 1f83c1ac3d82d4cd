"""The comparison of recipes: every variant can be built, a short one is trained, and the table is made of its log."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import recipes
from experiments.recipes import CODECS, UNET_SIZES, Recipes, codec_table, unet_table
from reference_model.autoencoder import Autoencoder
from reference_model.presets import PRESETS
from reference_model.unet import UNet


def test_every_variant_can_be_built_and_differs() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(p.numel() for p in Autoencoder(config).parameters()) for name, (config, _) in CODECS.items()
        }
        sizes = [sum(p.numel() for p in UNet(config).parameters()) for config in UNET_SIZES.values()]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3
    assert counts["small, residual encoder"] > counts["small"]
    assert counts["paper's layout, random weights"] > 30e6


def test_a_variant_is_trained_and_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "CODECS", {"tiny": (PRESETS["tiny"].autoencoders["bass"], {})})
    monkeypatch.setattr(recipes, "UNET_SIZES", {})
    time = np.arange(200_000) / 44_100
    clips = [np.tile((6000 * np.sin(2 * np.pi * f0 * time)).astype(np.int16), (2, 1)) for f0 in (55, 80, 110)]
    monkeypatch.setattr(recipes, "training_stems", lambda data, which, count: clips)
    Recipes(codec_steps=4, runs=tmp_path / "runs", output=tmp_path / "results").run()
    table = (tmp_path / "results/recipes.md").read_text()
    assert " tiny |" in table and (tmp_path / "results/recipes.png").stat().st_size > 10_000
    frame = codec_table(
        {
            "a": [
                {
                    "step": 2,
                    "pitch_kept": 0.5,
                    "level_error_db": 0,
                    "log_spectral_distance_db": 2,
                    "log_mel_distance_nat": 1,
                }
            ]
        }
    )
    assert frame.loc[0, "pitch_kept"] == 0.5
    monkeypatch.setattr(recipes, "UNET_SIZES", UNET_SIZES)
    assert unet_table({"small": [{"step": 3, "validation_loss": 0.41}]}).loc[0, "validation v-loss"] == 0.41
