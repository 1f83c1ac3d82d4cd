"""Train the latent diffusion model: `python -m reference_model.train_diffusion --run runs/unet`.

To resume, run the same command again. For several GPUs or machines start the same command with `accelerate launch`;
the batch size is that of each process.
"""

import copy
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.runs import (
    RunFolder,
    load_tensors,
    optimizer_tensors,
    refuse_other_settings,
    restore_optimizer,
    save_tensors,
    settings_of,
    step_generator,
    warmed_cosine,
)
from reference_model.autoencoder import Autoencoder
from reference_model.diffusion import v_loss, without_mix
from reference_model.latents import song_latents
from reference_model.unet import UNETS, UNet

SHIPPED = Path(__file__).parent / "weights" / "small"
_VALIDATION_SEED = 2402


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. What is not given is the preset's."""

    run: Path
    """Folder for log, checkpoint and weights (unet.safetensors)."""
    preset: Literal["tiny", "small", "paper"] = "small"
    steps: int | None = None
    batch_size: int | None = None
    """Of each process."""
    learning_rate: float | None = None
    mix_autoencoder: Path = SHIPPED / "mix_autoencoder.safetensors"
    bass_autoencoder: Path = SHIPPED / "bass_autoencoder.safetensors"
    songs: int | None = None
    """Songs of the train split (default: all)."""
    variants: int = 1
    """Renderings of each song."""
    validation_songs: int = 64
    frames: int = 256
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    unconditional: float = 0.15
    """Share of examples whose mix is zeroed."""
    seed: int = 0
    precision: Literal["bf16", "no"] = "bf16"
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = None
    processes: int = 1
    """Rendering processes, for songs that are not in the cache yet."""
    log_every: int = 10
    validate_every: int = 250
    checkpoint_every: int = 250


# Not in the paper: the learning rate. The paper: 500 k steps, batch 128, AdamW(0.9, 0.999).
_DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "batch_size": 4, "learning_rate": 1e-3},
    "small": {"steps": 10_000, "batch_size": 16, "learning_rate": 8e-4},
    "paper": {"steps": 500_000, "batch_size": 128, "learning_rate": 1e-4},
}
_FREE_TO_CHANGE = ("run", "device", "threads", "processes", "log_every", "validate_every", "checkpoint_every")


class PairSource(Protocol):
    """Where training pairs come from; `reference_model.latents.LatentPairs` is one."""

    def batch(self, generator: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Mix `(size, mix_dims, frames)` and bass `(size, bass_dims, frames)` latents."""
        ...


@dataclass
class State:
    """All that lives during training and is saved in a checkpoint."""

    unet: UNet
    average: UNet
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, run: RunFolder, config: TrainingConfig) -> None:
        """Write the checkpoint, and the averaged weights as they would be shipped."""
        tensors = {f"unet.{name}": tensor for name, tensor in self.unet.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer, "optimizer")
        save_tensors(run.checkpoint, tensors, {"step": self.step, "config": settings_of(config, free=_FREE_TO_CHANGE)})
        self.average.save_pretrained(run.path / "unet.safetensors")

    def resume(self, run: RunFolder, config: TrainingConfig) -> None:
        """Continue from the run's checkpoint if it has one; BadInputError if it was made by another command."""
        if run.checkpoint.exists():
            tensors, metadata = load_tensors(run.checkpoint)
            refuse_other_settings(run.path, metadata.get("config", {}), settings_of(config, free=_FREE_TO_CHANGE))
            for prefix, model in (("unet.", self.unet), ("average.", self.average)):
                model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            restore_optimizer(self.optimizer, tensors, "optimizer")
            for parameter, moments in self.optimizer.state.items():
                for name, moment in moments.items():
                    if moment.shape == parameter.shape:  # the fused step needs the parameter's memory layout
                        moments[name] = torch.empty_like(parameter).copy_(moment)
            self.step = metadata["step"]


def train(
    config: TrainingConfig, pairs: PairSource, validation: PairSource, *, accelerator: Accelerator | None = None
) -> UNet:
    """Run or resume training to its last step and return the averaged U-Net; its weights are in the run folder.

    Raises:
        BadInputError: the run folder holds another run, or the loss is not finite any more.
    """
    config = resolved(config)
    assert config.steps and config.batch_size and config.learning_rate
    if accelerator is None:
        accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
    run, rank, device = RunFolder(config.run), accelerator.process_index, accelerator.device

    torch.manual_seed(config.seed)
    unet = UNet(UNETS[config.preset]).to(device)
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), weight_decay=config.weight_decay, fused=True
    )
    state = State(unet, copy.deepcopy(unet).eval().requires_grad_(False), optimizer)
    state.resume(run, config)
    model, prepared = accelerator.prepare(unet, optimizer)
    if accelerator.is_main_process:
        run.forget_after(state.step)

    losses: list[float] = []
    bar = tqdm(total=config.steps, initial=state.step, desc="diffusion", disable=not accelerator.is_main_process)
    while state.step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warmed_cosine(state.step, steps=config.steps, warmup=config.warmup)
        generator = step_generator(config.seed, state.step, rank)
        mix, bass = pairs.batch(generator, config.batch_size)
        level, noise = draw_levels_and_noise(generator, bass)
        dropped = torch.from_numpy(generator.random(len(mix)) < config.unconditional)
        torch.manual_seed(int(generator.integers(2**62)))  # dropout

        unet.train()
        bass, mix, level, noise, dropped = (tensor.to(device) for tensor in (bass, mix, level, noise, dropped))
        with accelerator.autocast():
            loss = v_loss(model, bass, without_mix(mix, dropped), noise=noise, level=level).mean()
        accelerator.backward(loss)
        norm = float(accelerator.clip_grad_norm_(unet.parameters(), config.clip))
        if not math.isfinite(norm):  # the same on every process: gradients are averaged
            raise BadInputError(
                f"{run.path}: the loss is not finite any more at step {state.step} "
                f"(loss {loss.item():g}, gradient norm {norm:g}); lower --learning-rate and start in a new folder"
            )
        prepared.step()
        prepared.zero_grad()
        state.step += 1
        update_average(state.average, unet, config.ema, step=state.step)

        bar.update()
        if accelerator.is_main_process:
            losses.append(loss.item())
            last = state.step == config.steps
            if state.step % config.log_every == 0 or last:
                rate = optimizer.param_groups[0]["lr"]
                run.log(step=state.step, loss=float(np.mean(losses)), gradient_norm=norm, learning_rate=rate)
                bar.set_postfix(loss=f"{np.mean(losses):.3f}")
                losses.clear()
            if state.step % config.validate_every == 0 or last:
                with accelerator.autocast():
                    row = validate(state.average, validation)
                run.log(step=state.step, **row)
                bar.write(f"step {state.step}: " + "  ".join(f"{name} {value:.4f}" for name, value in row.items()))
            if state.step % config.checkpoint_every == 0 or last:
                state.save(run, config)
    bar.close()
    accelerator.wait_for_everyone()
    return state.average


def draw_levels_and_noise(generator: np.random.Generator, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Levels `(batch,)` and noise like `clean`.

    Not in the paper: the levels are stratified, one in each of `batch` equal parts of [0, 1], for a steadier loss.
    """
    size = len(clean)
    level = (generator.permutation(size) + generator.random(size)) / size
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    return torch.from_numpy(level).float(), torch.from_numpy(noise)


@torch.no_grad()
def update_average(average: UNet, unet: UNet, decay: float, *, step: int) -> None:
    """average <- d average + (1 - d) weights, d growing to `decay` over the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(unet.parameters()), 1 - decay)


@torch.no_grad()
def validate(unet: UNet, pairs: PairSource, *, batches: int = 4, size: int = 16) -> dict[str, float]:
    """v-loss with the mix and without it, on the same crops, levels and noise every time."""
    totals = {"validation_loss": 0.0, "validation_loss_unconditional": 0.0}
    device = next(unet.parameters()).device
    for index in range(batches):
        generator = step_generator(_VALIDATION_SEED, index)
        mix, bass = pairs.batch(generator, size)
        level, noise = (tensor.to(device) for tensor in draw_levels_and_noise(generator, bass))
        bass, mix = bass.to(device), mix.to(device)
        for name, seen in zip(totals, (mix, torch.zeros_like(mix)), strict=True):
            totals[name] += float(v_loss(unet, bass, seen, noise=noise, level=level).mean()) / batches
    return totals


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    missing = {name: value for name, value in _DEFAULTS[config.preset].items() if getattr(config, name) is None}
    config = dataclasses.replace(config, **missing)
    for name in ("steps", "batch_size", "frames", "variants", "log_every", "validate_every", "checkpoint_every"):
        if getattr(config, name) < 1:
            raise BadInputError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(config, name)}")
    if config.checkpoint_every % config.log_every:
        raise BadInputError("--checkpoint-every must be a multiple of --log-every, so that a resumed log is whole")
    return config


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        config = resolved(tyro.cli(TrainingConfig, description=__doc__))
        RunFolder(config.run)  # refused now, not after the songs are encoded
        if config.threads:
            torch.set_num_threads(config.threads)
        accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
        mix_autoencoder = Autoencoder.from_pretrained(config.mix_autoencoder)
        bass_autoencoder = Autoencoder.from_pretrained(config.bass_autoencoder)
        unet_config = UNETS[config.preset]
        dims = (mix_autoencoder.config.dims, bass_autoencoder.config.dims)
        if dims != (unet_config.mix_dims, unet_config.bass_dims):
            wanted = (unet_config.mix_dims, unet_config.bass_dims)
            raise BadInputError(f"the autoencoders have {dims} dims, preset '{config.preset}' needs {wanted}")
        with accelerator.main_process_first():
            sources = [
                song_latents(
                    split,
                    mix_autoencoder,
                    bass_autoencoder,
                    songs=songs,
                    variants=variants,
                    frames=config.frames,
                    processes=config.processes,
                    progress=accelerator.is_main_process,
                )
                for split, songs, variants in (
                    ("train", config.songs, config.variants),
                    ("validation", config.validation_songs, 1),
                )
            ]
        train(config, *sources, accelerator=accelerator)


if __name__ == "__main__":
    main()
