"""What a training run of an autoencoder can be told, and what of it must stay the same when it is resumed."""

import dataclasses
from pathlib import Path
from typing import Literal

from accelerate import PartialState

from bassbench.bad_input import BadInputError
from bassbench.run_settings import RunSettings, refuse_impossible, require
from bassbench.runs import RunFolder
from reference_model.autoencoder_objective import RECIPES, Recipe
from reference_model.config import AUTOENCODERS, AutoencoderConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainAutoencoder(RunSettings):
    """Settings of one run; None takes the preset's recipe."""

    which: Literal["mix", "bass"]
    preset: str = "small"
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    adversarial_start: int | None = None
    linear_path: bool | None = None
    """Start from a PCA (True) or from random weights alone (False). Default: as the preset does."""
    chroma_dims: int | None = None
    """Latent dimensions that are chroma and bass chroma: 24 or 0. Default: as the preset has it."""
    side_dims: int | None = None
    """Latent dimensions that tell left from right. Default: as the preset has it."""
    component_deviation: float | None = None
    """Deviation of the latent dimensions that are components. Default: as the preset has it."""
    initial: Path | None = None
    """Weights whose decoder is started from instead of a random one, moved to the latents that are fitted."""
    ema: float = 0.0
    """Decay of averaged weights, which are then what is validated and shipped; 0: the last weights."""
    crop_frames: int = 16
    """Latent frames in a crop (65,536 samples, 1.5 s, as in the paper)."""
    fit_frames: int = 40_960
    """Latent frames that the linear path is fitted on."""
    data: str = "train"
    """Split of the song bank to train on, a folder of stems (for the mix autoencoder also of mixes) or of shards."""
    clips: int | None = None
    """Training songs of the bank; None: all."""
    families: tuple[str, ...] = ()
    """Rendering families of the song bank's splits (`bassbench.families`), or "all"."""
    validation_clips: int = 12
    precision: Literal["auto", "bf16", "no"] = "auto"
    """Type of the convolutions: bfloat16 where that is fast, or float32. STFTs, norms and losses are float32."""
    validate_every: int = 500
    checkpoint_every: int = 100
    figures: bool = False
    """Draw reconstructions of three validation clips at every validation."""

    @property
    def recipe(self) -> Recipe:
        """The preset's recipe with what the command line changed."""
        if self.preset not in RECIPES:
            raise BadInputError(f"no preset {self.preset!r}; choose from {', '.join(RECIPES)}")
        names = ("steps", "batch_size", "learning_rate", "adversarial_start")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(RECIPES[self.preset], **changes)

    @property
    def config(self) -> AutoencoderConfig:
        """The preset's sizes, with or without the linear path as the command line says."""
        if self.preset not in AUTOENCODERS:
            raise BadInputError(f"no preset {self.preset!r}; choose from {', '.join(AUTOENCODERS)}")
        names = ("linear_path", "chroma_dims", "side_dims", "component_deviation")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        try:
            return dataclasses.replace(AUTOENCODERS[self.preset][self.which], **changes)
        except ValueError as error:
            raise BadInputError(f"preset '{self.preset}' cannot be so: {error}") from None

    @property
    def folder(self) -> RunFolder:
        """Where the run is kept; TensorBoard events are the first process's."""
        return RunFolder(self.run, self.tensorboard and PartialState().is_main_process)


def identity(settings: TrainAutoencoder) -> dict:
    """What must not change between the commands that start and resume a run, as JSON would give it back."""
    recipe = dataclasses.asdict(settings.recipe)
    recipe["betas"] = list(recipe["betas"])
    names = ("which", "preset", "data", "crop_frames", "fit_frames", "clips", "seed", "ema")
    changed = {name: list(settings.families) for name in ("families",) if settings.families}
    config = settings.config.to_dict()
    config |= {name: [dict(stage) for stage in config[name]] for name in ("encoder", "decoder")}
    return {**{name: getattr(settings, name) for name in names}, **changed, "recipe": recipe, "config": config}


def check(settings: TrainAutoencoder) -> None:
    """Raise BadInputError for settings that no run can have."""
    _ = settings.recipe, settings.config
    refuse_impossible(settings, ("crop_frames", "fit_frames", "validation_clips"))
    require(settings, "ema", 0)
    if settings.ema >= 1:
        raise BadInputError(f"--ema must be below 1, got {settings.ema}")
