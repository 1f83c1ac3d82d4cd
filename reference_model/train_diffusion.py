"""Train the latent diffusion model: `python -m reference_model.train_diffusion --run runs/unet`.

To resume, run the same command again. For several GPUs or machines start the same command with `accelerate launch`: the
batch is divided among the processes, and the losses are those of one (but for dropout's masks).
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor

from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.stems.shard_files import is_sharded
from bassbench.stems.training_data import refuse_families
from bassbench.training import settings as run_settings
from bassbench.training.checkpoint import State, settings_of, step_generator, warmed_cosine
from bassbench.training.loop import Measure, Training, added_up, describe, example_generator, update_average
from bassbench.training.settings import RunSettings, refuse_impossible
from reference_model.autoencoder import Autoencoder
from reference_model.conditions import PLANES
from reference_model.diffusion import v_loss, without_mix
from reference_model.latents import LatentPairs, encoder_hash, shard_latents, song_latents
from reference_model.loading import WEIGHTS
from reference_model.positional_bias import Positions
from reference_model.presets import PRESETS, Preset, UNetConfig, find_preset
from reference_model.training_samples import ValidationSamples
from reference_model.unet import UNet

SHIPPED = WEIGHTS / "small"
_VALIDATION_SEED = 2402


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """One training run. What is not given is the preset's."""

    run: Path
    """Folder for log, checkpoint and weights (unet.safetensors)."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(PRESETS))] = "small"
    variant: Annotated[Preset | None, tyro.conf.Fixed, tyro.conf.Suppress] = None
    """What to train instead of the row of `PRESETS`, for a study of variants: `preset` then only names it."""
    positions: Positions = "dynamic"
    """How attention knows where a frame is: the paper's dynamic bias, or what the study of lengths compares it with."""
    widths: tuple[int, ...] | None = None
    """Channels at each resolution of the U-Net."""
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
    """Share of examples whose mix is zeroed, with what else they are conditioned on."""
    notes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also learn to play notes, chords and rhythm that are asked for (`conditions.py`). May start from a U-Net that
    cannot (--initial).  # Not in the paper."""
    sample_every: int | None = None
    """Steps between samples of validation clips with FAD, chord-tone share and a figure; 0: none. Default: ten
    validations apart."""


SINCE: dict[str, Any] = {"positions": "dynamic", "widths": None, "subsets": 1, "families": [], "notes": False}
"""What a run had that was begun before there was the choice."""
FREE_TO_CHANGE = (*run_settings.FREE_TO_CHANGE, "initial", "sample_every", "shard_programs", "variant")


def unet_config(config: TrainingConfig) -> UNetConfig:
    """The U-Net to train: the preset's, but for what was asked for; BadInputError if there is no such U-Net."""
    preset = (config.variant or find_preset(config.preset)).unet
    try:
        return dataclasses.replace(
            preset,
            positions=config.positions,
            widths=config.widths or preset.widths,
            note_planes=PLANES if config.notes else 0,
        )
    except ValueError as error:
        raise BadInputError(str(error)) from None


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    recipe = dataclasses.asdict((config.variant or find_preset(config.preset)).diffusion_recipe)
    missing = {name: value for name, value in recipe.items() if getattr(config, name) is None}
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


# What a step sees: pairs of latents, noise, levels, and whose mix is left out


class PairSource(Protocol):
    """Where pairs come from; `reference_model.latents.LatentPairs` is one."""

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        """A random pair: its name, latents of the mix `(mix_dims, frames)` and of the bass `(bass_dims, frames)`.

        For a U-Net with note planes these follow the mix's dims.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """Some examples of a step: all randomness of each comes from its own generator."""

    names: list[str]
    mix: Tensor
    """`(batch, mix_dims, frames)`, or with planes of what is asked for `(batch, mix_dims + note_planes, frames)`."""
    bass: Tensor
    noise: Tensor
    level: Tensor
    """`(batch,)`."""
    unconditional: Tensor
    """Booleans `(batch,)`: the mix is zeroed, and all that is asked for with it."""

    @classmethod
    def draw(
        cls, pairs: PairSource, seed: int, step: int, indices: Sequence[int], *, size: int, unconditional: float
    ) -> "Batch":
        """The examples `indices` of a step's batch of `size`, a share of them without a mix.

        Not in the paper: the levels are stratified, one in each of `size` equal parts of [0, 1], for a steadier
        loss.
        """
        slots = step_generator(seed, step).permutation(size)
        names, mixes, basses, noises, levels, dropped = [], [], [], [], [], []
        for index in indices:
            generator = example_generator(seed, step, index)
            name, mix, bass = pairs.example(generator)
            names.append(name)
            mixes.append(mix)
            basses.append(bass)
            levels.append((slots[index] + generator.random()) / size)
            noises.append(generator.standard_normal(bass.shape, dtype=np.float32))
            dropped.append(generator.random() < unconditional)
        tensors = [torch.from_numpy(np.stack(arrays)).float() for arrays in (mixes, basses, noises)]
        level = torch.tensor(levels, dtype=torch.float32)
        return cls(names, tensors[0], tensors[1], tensors[2], level, torch.tensor(dropped))

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        tensors = (self.mix, self.bass, self.noise, self.level, self.unconditional)
        return Batch(self.names, *(tensor.to(device) for tensor in tensors))


def draw_levels_and_noise(generator: np.random.Generator, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Levels `(batch,)`, stratified, and noise like `clean`."""
    size = len(clean)
    level = (generator.permutation(size) + generator.random(size)) / size
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    return torch.from_numpy(level).float(), torch.from_numpy(noise)


# The run


Sample = Callable[[UNet, int], dict[str, float]]
"""Generate with a U-Net after a step, and say how good it is."""


class DiffusionTraining(Training[list[Batch]]):
    """A run of the paper's section 3.2: the U-Net learns v from noisy basses and their mixes."""

    settings: TrainingConfig
    title = "diffusion"

    def __init__(
        self,
        config: TrainingConfig,
        pairs: PairSource,
        validation: PairSource,
        accelerator: Accelerator,
        encoders: dict[str, str] | None,
        sample: Sample | None,
    ) -> None:
        assert config.steps and config.batch_size and config.learning_rate
        self.pairs, self.validation, self.encoders, self.sample = pairs, validation, encoders, sample

        # The network, its average, and the optimiser
        torch.manual_seed(config.seed)
        self.unet = UNet(unet_config(config)).to(accelerator.device)
        if config.initial is not None:
            self.unet.start_from(UNet.from_pretrained(config.initial))
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        optimizer = torch.optim.AdamW(
            self.unet.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=config.weight_decay,
            fused=True,
        )
        state = State({"unet": self.unet, "average": self.average}, {"optimizer": optimizer})

        # Where the run was, and then to the devices
        state.resume(config.folder(accelerator), settings_of(config, free=FREE_TO_CHANGE), since=SINCE)
        self.model, self.optimizer = accelerator.prepare(self.unet, optimizer)
        super().__init__(
            config,
            accelerator,
            state,
            steps=config.steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
        )

    def rate(self) -> float:
        """A warm-up, then a cosine to zero."""
        return warmed_cosine(self.state.step, steps=self.steps, warmup=self.settings.warmup)

    def draw(self, step: int) -> list[Batch]:
        """The step's pairs, a micro-batch each."""
        seed, size, unconditional = self.settings.seed, self.batch_size, self.settings.unconditional
        return [
            Batch.draw(self.pairs, seed, step, indices, size=size, unconditional=unconditional)
            for indices in self.micro
        ]

    def trial(self) -> None:
        """With every mix."""
        batch = self.draw(self.state.step)[0].to(self.accelerator.device)
        with self.accelerator.autocast():
            loss = v_loss(self.unet, batch.bass, batch.mix, noise=batch.noise, level=batch.level).mean()
        loss.backward()

    def learn(self, drawn: list[Batch]) -> tuple[dict[str, Tensor], list[str]]:
        """One step on E || v - v_theta(z_t, t, c_x) ||^2, a share of the mixes zeroed."""
        config, accelerator, step = self.settings, self.accelerator, self.state.step
        self.unet.train()
        loss = torch.zeros((), device=accelerator.device)
        parts = list(zip(self.micro, drawn, strict=True))
        for indices, batch in added_up(parts, self.model, accelerator):
            dropout = step_generator(config.seed, step, self.batch_size + 1 + indices.start)
            torch.manual_seed(int(dropout.integers(2**62)))
            mix = without_mix(batch.mix, batch.unconditional).to(accelerator.device)
            batch = batch.to(accelerator.device)
            with accelerator.autocast():
                losses = v_loss(self.model, batch.bass, mix, noise=batch.noise, level=batch.level)
                part = losses.mean() / len(parts)
            accelerator.backward(part)
            loss = loss + part.detach()
        norm = accelerator.clip_grad_norm_(self.unet.parameters(), config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self.unet, config.ema, step=step + 1)
        return {"loss": loss, "gradient_norm": norm}, [name for batch in drawn for name in batch.names]

    def row(self, steps: list[dict[str, float]]) -> dict[str, float]:
        """The mean loss, and the last step's gradient and learning rate."""
        rate = self.optimizer.param_groups[0]["lr"]
        loss = float(np.mean([step["loss"] for step in steps]))
        return {"loss": loss, "gradient_norm": steps[-1]["gradient_norm"], "learning_rate": rate}

    def measures(self) -> list[tuple[int, Measure]]:
        """Losses of validation pairs, and what is generated for validation clips."""
        found: list[tuple[int, Measure]] = [(self.settings.validate_every, self.validate)]
        if self.settings.sample_every:
            found.append((self.settings.sample_every, self.sampled))
        return found

    def validate(self) -> dict[str, float]:
        """Of the averaged weights."""
        with self.accelerator.autocast():
            return validate(self.average, self.validation)

    def sampled(self) -> dict[str, float]:
        """Of the averaged weights; nothing where there is no way to sample."""
        return self.sample(self.average, self.state.step) if self.sample is not None else {}

    def save(self) -> None:
        """Write the checkpoint, and the averaged weights as they would be shipped."""
        self.state.save(self.run, settings_of(self.settings, free=FREE_TO_CHANGE))
        self.average.save_pretrained(self.run.path / "unet.safetensors", encoders=self.encoders)


def train(
    config: TrainingConfig,
    pairs: PairSource,
    validation: PairSource,
    *,
    accelerator: Accelerator | None = None,
    encoders: dict[str, str] | None = None,
    sample: Sample | None = None,
) -> UNet:
    """Run or resume training to its last step and return the averaged U-Net; its weights are in the run folder.

    `encoders` holds the hashes of the autoencoders' encoders, which the weights will tell.

    Raises:
        BadInputError: the run folder holds another run, the batch cannot be divided among the processes, or the loss is
            not finite any more.
    """
    config = resolved(config)
    training = DiffusionTraining(
        config, pairs, validation, accelerator or config.accelerator(), encoders=encoders, sample=sample
    )
    training.fit()
    return training.average


@torch.no_grad()
def validate(unet: UNet, pairs: PairSource, *, batches: int = 4, size: int = 16) -> dict[str, float]:
    """v-loss with the mix and without it, on the same crops, levels and noise every time.

    A U-Net with note planes is asked for nothing in both, and in "validation_loss_notes" for what training asks for.
    """
    totals = {"validation_loss": 0.0, "validation_loss_unconditional": 0.0}
    if unet.config.note_planes:
        totals["validation_loss_notes"] = 0.0
    device = next(unet.parameters()).device
    for index in range(batches):
        generator = step_generator(_VALIDATION_SEED, index)
        drawn = [pairs.example(generator)[1:] for _ in range(size)]
        mix, bass = (torch.from_numpy(np.stack(stems)).float() for stems in zip(*drawn, strict=True))
        level, noise = (tensor.to(device) for tensor in draw_levels_and_noise(generator, bass))
        bass, mix = bass.to(device), mix.to(device)
        alone = mix[:, : unet.config.mix_dims]
        for name, seen in zip(totals, (alone, torch.zeros_like(alone), mix), strict=False):
            totals[name] += float(v_loss(unet, bass, seen, noise=noise, level=level).mean()) / batches
    return totals


def _latents(
    config: TrainingConfig,
    accelerator: Accelerator,
    coders: tuple[Autoencoder, Autoencoder],
    data: str,
    *,
    songs: int | None,
    variants: int,
    subsets: int,
) -> LatentPairs:
    refuse_families(data, config.families)
    if is_sharded(data):
        return shard_latents(
            data,
            *coders,
            accelerator=accelerator,
            variants=variants * subsets,  # a pass differs from another by its subsets alone
            frames=config.frames,
            notes=config.notes,
            programs=config.shard_programs,
        )
    with accelerator.main_process_first():
        return song_latents(
            data,
            *coders,
            songs=songs,
            variants=variants,
            subsets=subsets,
            families=config.families,
            frames=config.frames,
            notes=config.notes,
            processes=config.processes,
            progress=accelerator.is_main_process,
        )


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        config = resolved(tyro.cli(TrainingConfig, description=__doc__))
        if config.dry_run:
            with torch.device("meta"):
                print(describe(config, {"unet": UNet(unet_config(config))}))
            return
        mix_path, bass_path = autoencoder_paths(config)
        with config.held() as accelerator:
            coders = Autoencoder.from_pretrained(mix_path), Autoencoder.from_pretrained(bass_path)
            dims = (coders[0].config.dims, coders[1].config.dims)
            unet = find_preset(config.preset).unet
            if dims != (wanted := (unet.mix_dims, unet.bass_dims)):
                raise BadInputError(f"the autoencoders have {dims} dims, preset '{config.preset}' needs {wanted}")
            sources = [
                _latents(config, accelerator, coders, data, songs=songs, variants=variants, subsets=subsets)
                for data, songs, variants, subsets in (
                    (config.data, config.songs, config.variants, config.subsets or 1),
                    (config.validation_data, config.validation_songs, 1, 1),
                )
            ]
            encoders = {"mix": encoder_hash(coders[0]), "bass": encoder_hash(coders[1])}
            sample = ValidationSamples(*coders, config.run) if accelerator.is_main_process else None
            train(config, *sources, accelerator=accelerator, encoders=encoders, sample=sample)


if __name__ == "__main__":
    main()
