"""One training run of the latent diffusion model: what can be set, the presets' values, and what cannot be run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bassbench import run_settings
from bassbench.bad_input import BadInputError
from bassbench.run_settings import RunSettings, refuse_impossible
from reference_model.positional_bias import Positions
from reference_model.unet import UNETS, UNetConfig

SHIPPED = Path(__file__).parent / "weights" / "small"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """One training run. What is not given is the preset's."""

    run: Path
    """Folder for log, checkpoint and weights (unet.safetensors)."""
    preset: Literal["tiny", "small", "paper"] = "small"
    positions: Positions = "dynamic"
    """How attention knows where a frame is: the paper's dynamic bias, or what the study of lengths compares it with."""
    widths: tuple[int, ...] | None = None
    """Channels at each resolution of the U-Net."""
    steps: int | None = None
    batch_size: int | None = None
    """Of all processes together."""
    learning_rate: float | None = None
    mix_autoencoder: Path = SHIPPED / "mix_autoencoder.safetensors"
    bass_autoencoder: Path = SHIPPED / "bass_autoencoder.safetensors"
    initial: Path | None = None
    """Weights to start from instead of random ones (see `reference_model.rebase`)."""
    data: str = "train"
    """Split of the song bank to train on, a folder of stems, or shards (a folder or URL of tar files)."""
    songs: int | None = None
    """Songs or tracks of the data (default: all)."""
    variants: int = 1
    """Renderings of each song."""
    families: tuple[str, ...] = ()
    """Rendering families of the song bank's splits (`bassbench.families`), or "all"."""
    validation_songs: int = 64
    frames: int = 256
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    unconditional: float = 0.15
    """Share of examples whose mix is zeroed."""
    sample_every: int | None = None
    """Steps between samples of validation clips with FAD, chord-tone share and a figure; 0: none. Default: ten
    validations apart."""


# Not in the paper: the learning rate. The paper: 500 k steps, batch 128, AdamW(0.9, 0.999).
DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "batch_size": 4, "learning_rate": 1e-3},
    "small": {"steps": 10_000, "batch_size": 16, "learning_rate": 8e-4},
    "paper": {"steps": 500_000, "batch_size": 128, "learning_rate": 1e-4},
}
SINCE: dict[str, Any] = {"positions": "dynamic", "widths": None, "families": []}
"""What a run had that was begun before there was the choice."""
FREE_TO_CHANGE = (*run_settings.FREE_TO_CHANGE, "initial", "sample_every")


def unet_config(config: TrainingConfig) -> UNetConfig:
    """The U-Net to train: the preset's, but for what was asked for; BadInputError if there is no such U-Net."""
    preset = UNETS[config.preset]
    try:
        return dataclasses.replace(preset, positions=config.positions, widths=config.widths or preset.widths)
    except ValueError as error:
        raise BadInputError(str(error)) from None


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    missing = {name: value for name, value in DEFAULTS[config.preset].items() if getattr(config, name) is None}
    if config.sample_every is None:
        missing["sample_every"] = 10 * config.validate_every
    config = dataclasses.replace(config, **missing)
    refuse_impossible(config, ("steps", "batch_size", "frames", "variants"))
    return config
