"""Train the latent diffusion model: `python -m reference_model.train_diffusion --run runs/unet`.

To resume, run the same command again. For several GPUs or machines start the same command with `accelerate launch`: the
batch is divided among the processes, and the losses are those of one (but for dropout's masks).
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from accelerate import Accelerator
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
from bassbench.shards import is_sharded
from bassbench.trainer import (
    Throughput,
    ahead,
    describe,
    micro_batches,
    stop_unless_finite,
    update_average,
)
from bassbench.training_data import refuse_families
from reference_model.autoencoder import Autoencoder
from reference_model.diffusion import v_loss, without_mix
from reference_model.diffusion_batch import Batch, PairSource, draw_levels_and_noise
from reference_model.diffusion_settings import FREE_TO_CHANGE, SINCE, TrainingConfig, resolved, unet_config
from reference_model.latents import LatentPairs, encoder_hash, song_latents
from reference_model.shard_latents import shard_latents
from reference_model.training_samples import ValidationSamples
from reference_model.unet import UNETS, UNet

_VALIDATION_SEED = 2402


@dataclass
class State:
    """All that lives during training and is saved in a checkpoint."""

    unet: UNet
    average: UNet
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, run: RunFolder, config: TrainingConfig, encoders: dict[str, str] | None) -> None:
        """Write the checkpoint, and the averaged weights as they would be shipped."""
        tensors = {f"unet.{name}": tensor for name, tensor in self.unet.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer, "optimizer")
        save_tensors(run.checkpoint, tensors, {"step": self.step, "config": settings_of(config, free=FREE_TO_CHANGE)})
        self.average.save_pretrained(run.path / "unet.safetensors", encoders=encoders)

    def resume(self, run: RunFolder, config: TrainingConfig) -> None:
        """Continue from the run's checkpoint if it has one; BadInputError if it was made by another command."""
        if run.checkpoint.exists():
            tensors, metadata = load_tensors(run.checkpoint)
            before = SINCE | metadata.get("config", {})
            refuse_other_settings(run.path, before, settings_of(config, free=FREE_TO_CHANGE))
            for prefix, model in (("unet.", self.unet), ("average.", self.average)):
                model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            restore_optimizer(self.optimizer, tensors, "optimizer")
            self.step = metadata["step"]


Sample = Callable[[UNet, int], dict[str, float]]
"""Generate with a U-Net after a step, and say how good it is."""


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
    assert config.steps and config.batch_size and config.learning_rate
    accelerator = accelerator or config.accelerator()
    device, main = accelerator.device, accelerator.is_main_process
    run = RunFolder(config.run, config.tensorboard and main)
    micro = micro_batches(config.batch_size, accelerator, config.accumulate)

    torch.manual_seed(config.seed)
    unet = UNet(unet_config(config)).to(device)
    if config.initial is not None:
        unet.load_state_dict(UNet.from_pretrained(config.initial).state_dict())
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), weight_decay=config.weight_decay, fused=True
    )
    state = State(unet, copy.deepcopy(unet).eval().requires_grad_(False), optimizer)
    state.resume(run, config)
    model, prepared = accelerator.prepare(unet, optimizer)
    if main:
        run.forget_after(state.step)

    def draw(step: int) -> list[Batch]:
        size, unconditional = config.batch_size, config.unconditional
        assert size
        return [Batch.draw(pairs, config.seed, step, part, size=size, unconditional=unconditional) for part in micro]

    def trial() -> None:
        batch = draw(state.step)[0]
        tensors = (tensor.to(device) for tensor in (batch.bass, batch.mix, batch.noise, batch.level))
        bass, mix, noise, level = tensors
        with accelerator.autocast():
            loss = v_loss(unet, bass, mix, noise=noise, level=level).mean()
        loss.backward()

    losses: list[float] = []
    if state.step < config.steps:
        throughput = Throughput(config.batch_size, trial, len(micro) * accelerator.num_processes)
        optimizer.zero_grad()
    bar = tqdm(total=config.steps, initial=state.step, desc="diffusion", disable=not main)
    batches = ahead(draw, range(state.step, config.steps))
    while state.step < config.steps:
        throughput.start()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warmed_cosine(state.step, steps=config.steps, warmup=config.warmup)
        unet.train()
        loss, names = torch.zeros((), device=device), []
        for number, (indices, batch) in enumerate(zip(micro, next(batches), strict=True)):
            names += batch.names
            dropout = step_generator(config.seed, state.step, config.batch_size + 1 + indices.start)
            torch.manual_seed(int(dropout.integers(2**62)))
            mix = without_mix(batch.mix, batch.unconditional).to(device)
            bass, noise, level = (tensor.to(device) for tensor in (batch.bass, batch.noise, batch.level))
            apart = contextlib.nullcontext() if number == len(micro) - 1 else accelerator.no_sync(model)
            with apart:
                with accelerator.autocast():
                    part = v_loss(model, bass, mix, noise=noise, level=level).mean() / len(micro)
                accelerator.backward(part)
            loss = loss + part.detach()
        loss = accelerator.reduce(loss, "mean")
        norm = float(accelerator.clip_grad_norm_(unet.parameters(), config.clip))
        stop_unless_finite(run, accelerator, step=state.step, loss=float(loss), norm=norm, clips=names)
        prepared.step()
        prepared.zero_grad()
        state.step += 1
        update_average(state.average, unet, config.ema, step=state.step)

        throughput.stop()
        bar.update()
        last = state.step == config.steps
        if main:
            losses.append(float(loss))
            if state.step % config.log_every == 0 or last:
                rate = optimizer.param_groups[0]["lr"]
                row = {"loss": float(np.mean(losses)), "gradient_norm": norm, "learning_rate": rate}
                run.log(step=state.step, **row, **throughput.row())
                bar.set_postfix(loss=f"{row['loss']:.3f}")
                losses.clear()
            if state.step % config.validate_every == 0 or last:
                with accelerator.autocast():
                    row = validate(state.average, validation)
                run.log(step=state.step, **row)
                bar.write(f"step {state.step}: " + "  ".join(f"{name} {value:.4f}" for name, value in row.items()))
            if sample is not None and config.sample_every and (state.step % config.sample_every == 0 or last):
                run.log(step=state.step, **sample(state.average, state.step))
            if state.step % config.checkpoint_every == 0 or last:
                state.save(run, config, encoders)
    bar.close()
    accelerator.wait_for_everyone()
    return state.average


@torch.no_grad()
def validate(unet: UNet, pairs: PairSource, *, batches: int = 4, size: int = 16) -> dict[str, float]:
    """v-loss with the mix and without it, on the same crops, levels and noise every time."""
    totals = {"validation_loss": 0.0, "validation_loss_unconditional": 0.0}
    device = next(unet.parameters()).device
    for index in range(batches):
        generator = step_generator(_VALIDATION_SEED, index)
        drawn = [pairs.example(generator)[1:] for _ in range(size)]
        mix, bass = (torch.from_numpy(np.stack(stems)).float() for stems in zip(*drawn, strict=True))
        level, noise = (tensor.to(device) for tensor in draw_levels_and_noise(generator, bass))
        bass, mix = bass.to(device), mix.to(device)
        for name, seen in zip(totals, (mix, torch.zeros_like(mix)), strict=True):
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
) -> LatentPairs:
    refuse_families(data, config.families)
    if is_sharded(data):
        return shard_latents(data, *coders, accelerator=accelerator, variants=variants, frames=config.frames)
    with accelerator.main_process_first():
        return song_latents(
            data,
            *coders,
            songs=songs,
            variants=variants,
            families=config.families,
            frames=config.frames,
            processes=config.processes,
            progress=accelerator.is_main_process,
        )


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        config = resolved(tyro.cli(TrainingConfig, description=__doc__))
        if config.dry_run:
            with torch.device("meta"):
                print(describe(dataclasses.asdict(config), {"unet": UNet(unet_config(config))}))
            return
        RunFolder(config.run)  # refused now, not after the songs are encoded
        accelerator = config.accelerator()
        RunFolder(config.run, config.tensorboard and accelerator.is_main_process)
        mix_autoencoder = Autoencoder.from_pretrained(config.mix_autoencoder)
        bass_autoencoder = Autoencoder.from_pretrained(config.bass_autoencoder)
        dims = (mix_autoencoder.config.dims, bass_autoencoder.config.dims)
        wanted = (UNETS[config.preset].mix_dims, UNETS[config.preset].bass_dims)
        if dims != wanted:
            raise BadInputError(f"the autoencoders have {dims} dims, preset '{config.preset}' needs {wanted}")
        coders = mix_autoencoder, bass_autoencoder
        sources = [
            _latents(config, accelerator, coders, data, songs=songs, variants=variants)
            for data, songs, variants in (
                (config.data, config.songs, config.variants),
                (config.validation_data, config.validation_songs, 1),
            )
        ]
        encoders = {"mix": encoder_hash(mix_autoencoder), "bass": encoder_hash(bass_autoencoder)}
        sample = None
        if config.sample_every and accelerator.is_main_process:
            sample = ValidationSamples(mix_autoencoder, bass_autoencoder, config.run)
        train(config, *sources, accelerator=accelerator, encoders=encoders, sample=sample)


if __name__ == "__main__":
    main()
