"""The U-Nets of the study of lengths: the shipped one, with and without its bias, and small ones trained alike."""

import copy
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from bassbench.cache import content_hash
from reference_model import train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.latents import encoder_hash, song_latents
from reference_model.pipeline import BassAccompaniment
from reference_model.positional_bias import PositionalBias, Positions
from reference_model.train_diffusion import TrainingConfig
from reference_model.unet import UNet

WIDTHS = (64, 96, 128, 160)


@dataclass(frozen=True)
class ShortTraining:
    """How the U-Nets that differ in their positions alone are trained: alike, and briefly."""

    runs: Path
    """A folder for each run is made in it; a run that was cut off goes on."""
    steps: int
    frames: int
    """Length of the training examples, in latent frames."""
    songs: int
    """Training songs, one rendering each."""
    preset: str = "small"
    widths: tuple[int, ...] = WIDTHS
    data: str = "train"
    validation_data: str = "validation"
    validation_songs: int = 16

    def trained(self, positions: Positions, mix: Autoencoder, bass: Autoencoder) -> UNet:
        """The U-Net with these positions, on latents of these autoencoders; read back if it has been trained.

        Raises:
            BadInputError: the folder cannot be written, or the loss is not finite any more.
        """
        encoders = {"mix": encoder_hash(mix), "bass": encoder_hash(bass)}
        settings = TrainingConfig(
            run=self.runs / f"{positions}-{self.hash(positions, mix, bass)}",
            preset=self.preset,
            positions=positions,
            widths=self.widths,
            steps=self.steps,
            frames=self.frames,
            songs=self.songs,
            data=self.data,
            validation_data=self.validation_data,
            validation_songs=self.validation_songs,
            validate_every=max(self.steps // 4, 1),
            checkpoint_every=max(self.steps // 8, 1),
            log_every=max(self.steps // 8, 1),
            sample_every=0,
        )
        file = settings.run / "unet.safetensors"
        if not self._is_done(settings.run):
            sources = [
                song_latents(data, mix, bass, songs=songs, frames=self.frames)
                for data, songs in ((self.data, self.songs), (self.validation_data, self.validation_songs))
            ]
            train_diffusion.train(settings, *sources, encoders=encoders)
            (settings.run / "done").touch()
        return UNet.from_pretrained(file)

    def hash(self, positions: Positions, mix: Autoencoder, bass: Autoencoder) -> str:
        """Eight hexadecimal digits of the recipe: its settings, the positions, and what the latents depend on."""
        recipe = json.dumps(dataclasses.asdict(dataclasses.replace(self, runs=Path())), default=str)
        return content_hash(recipe, positions, encoder_hash(mix), encoder_hash(bass))[:8]

    def _is_done(self, run: Path) -> bool:
        return (run / "done").exists() and (run / "unet.safetensors").exists()


def without_bias(unet: UNet) -> UNet:
    """A copy whose positional bias is zero everywhere."""
    plain = copy.deepcopy(unet)
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, PositionalBias):
                last = module.layers[-1]
                assert isinstance(last, torch.nn.Linear)
                last.weight.zero_()
                last.bias.zero_()
    return plain


def with_unet(model: BassAccompaniment, unet: UNet) -> BassAccompaniment:
    """The model with another U-Net, on the same device."""
    return dataclasses.replace(model, unet=unet.to(model.device))
