"""One training run of the latent diffusion model: what can be set, the presets' values, and what cannot be run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from bassbench.errors import BadInputError, unknown_name
from bassbench.training import settings as run_settings
from bassbench.training.settings import RunSettings, refuse_impossible
from reference_model.positional_bias import Positions
from reference_model.unet import UNETS, UNetConfig

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = WEIGHTS / "small"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """One training run. What is not given is the preset's."""

    run: Path
    """Folder for log, checkpoint and weights (unet.safetensors)."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(UNETS))] = "small"
    positions: Positions = "dynamic"
    """How attention knows where a frame is: the paper's dynamic bias, or what the study of lengths compares it with."""
    widths: tuple[int, ...] | None = None
    """Channels at each resolution of the U-Net."""
    steps: int | None = None
    batch_size: int | None = None
    """Of all processes together."""
    learning_rate: float | None = None
    mix_autoencoder: Path | None = None
    """Default: the preset's own, where its weights are shipped."""
    bass_autoencoder: Path | None = None
    """The same."""
    initial: Path | None = None
    """Weights to start from instead of random ones."""
    data: str = "train"
    """Split of the song bank to train on, a folder of stems, or shards (a folder or URL of tar files)."""
    shard_programs: bool = False
    """Read shards also by URLs that start a program: pipe:COMMAND runs COMMAND in a shell; gs:, hf:, sftp: and the like
    start what webdataset has for them. Without it only files, http and https are read."""
    songs: int | None = None
    """Songs or tracks of the data (default: all)."""
    variants: int = 1
    """Renderings of each song."""
    subsets: int | None = None
    """Random subsets of the other stems that each rendering, window or pass of shards is kept with; an example gets one
    of them. Default: the preset's."""
    families: tuple[str, ...] = ()
    """Rendering families of the song bank's splits (`bassbench.songs.families`), or "all"."""
    validation_songs: int = 64
    frames: int = 256
    warmup: int = 100
    """Steps over which the learning rate grows; it then falls along a cosine.  # Not in the paper: either."""
    weight_decay: float = 0.01
    """Of AdamW.  # Not in the paper: its value."""
    clip: float = 1.0
    """Largest gradient norm.  # Not in the paper.  That of "paper" is 0.6 at the start: only outliers feel it."""
    ema: float = 0.998
    """Decay of the averaged weights, which are what is shipped.  # Not in the paper."""
    unconditional: float = 0.15
    """Share of examples whose mix is zeroed."""
    sample_every: int | None = None
    """Steps between samples of validation clips with FAD, chord-tone share and a figure; 0: none. Default: ten
    validations apart."""


# Not in the paper: the learning rate. The paper: 500 k steps, batch 128, AdamW(0.9, 0.999).
# Not in the paper: the number of subsets. The paper draws a random subset of the stems anew for each example. The mix
# encoder is not linear, so that takes all stems at hand (five of them at 16 bits are 400 times the size of the latents)
# and the encoder in every step (1.3 s for a batch of 16 on one core), or several mixes encoded beforehand: K times the
# rendering, encoding and latents, for one of K subsets in each example. "small" was trained with one of each rendering
# and up to two renderings of a song.
DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "batch_size": 4, "learning_rate": 1e-3, "subsets": 1},
    "small": {"steps": 10_000, "batch_size": 16, "learning_rate": 8e-4, "subsets": 1},
    "paper": {"steps": 500_000, "batch_size": 128, "learning_rate": 1e-4, "subsets": 8},
}
SINCE: dict[str, Any] = {"positions": "dynamic", "widths": None, "subsets": 1, "families": []}
"""What a run had that was begun before there was the choice."""
FREE_TO_CHANGE = (*run_settings.FREE_TO_CHANGE, "initial", "sample_every", "shard_programs")


def unet_config(config: TrainingConfig) -> UNetConfig:
    """The U-Net to train: the preset's, but for what was asked for; BadInputError if there is no such U-Net."""
    if config.preset not in UNETS:
        raise unknown_name("preset", config.preset, UNETS)
    preset = UNETS[config.preset]
    try:
        return dataclasses.replace(preset, positions=config.positions, widths=config.widths or preset.widths)
    except ValueError as error:
        raise BadInputError(str(error)) from None


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    if config.preset not in DEFAULTS:
        raise unknown_name("preset", config.preset, DEFAULTS)
    missing = {name: value for name, value in DEFAULTS[config.preset].items() if getattr(config, name) is None}
    if config.sample_every is None:
        missing["sample_every"] = 10 * config.validate_every
    for which in ("mix", "bass"):
        shipped = WEIGHTS / config.preset / f"{which}_autoencoder.safetensors"
        if getattr(config, f"{which}_autoencoder") is None and shipped.exists():
            missing[f"{which}_autoencoder"] = shipped
    config = dataclasses.replace(config, **missing)
    refuse_impossible(config)
    return config


def autoencoder_paths(config: TrainingConfig) -> tuple[Path, Path]:
    """Weights of the mix and the bass autoencoder of a resolved configuration.

    Raises:
        BadInputError: they are not given, and the preset ships none.
    """
    if config.mix_autoencoder is None or config.bass_autoencoder is None:
        training = f"python -m reference_model.train_autoencoder --preset {config.preset}"
        raise BadInputError(
            f"preset '{config.preset}' ships no autoencoders: make them with `{training} --which mix --run runs/mix` "
            f"and `{training} --which bass --run runs/bass`, then give --mix-autoencoder runs/mix/weights.safetensors "
            "--bass-autoencoder runs/bass/weights.safetensors"
        )
    return config.mix_autoencoder, config.bass_autoencoder
