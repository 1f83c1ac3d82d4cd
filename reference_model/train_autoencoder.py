"""Train one autoencoder: `python -m reference_model.train_autoencoder --which bass --run runs/bass_autoencoder`.

The same command resumes an interrupted run; under `accelerate launch -m` it runs on many devices, which divide the
batch among them.  The run folder gets pca.safetensors (the linear path alone, usable at once; all there is with
`--steps 0`), log.jsonl, a checkpoint, and at the end weights.safetensors in float16.
"""

import contextlib
import copy
import dataclasses
import itertools
import math
import time
from collections import defaultdict

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
    step_generator,
)
from bassbench.trainer import (
    Throughput,
    automatic_precision,
    describe,
    micro_batches,
    stop_unless_finite,
    update_average,
)
from bassbench.training_data import training_stems
from reference_model.autoencoder import Autoencoder
from reference_model.autoencoder_objective import Objective, Recipe, weighted_sum
from reference_model.autoencoder_settings import TrainAutoencoder, check, identity
from reference_model.codec_probes import probe
from reference_model.critics import Critics, critic_loss, generator_loss
from reference_model.crops import AudioClips, draw_batch, fit_batches, validation_audio
from reference_model.linear_path import fit_linear_path
from reference_model.rebase import with_decoder_of
from reference_model.spectral_loss import draw_hops, mel_bands
from reference_model.training_samples import draw_spectrograms

_MOVED_BATCHES = 12  # of eight times 64 frames, to move a decoder to other latents


@dataclasses.dataclass
class State:
    """All that lives during training."""

    accelerator: Accelerator
    objective: torch.nn.Module
    autoencoder: Autoencoder
    optimizer: torch.optim.Optimizer
    critics: Critics | None
    critic_optimizer: torch.optim.Optimizer | None
    average: Autoencoder | None = None
    step: int = 0

    @property
    def result(self) -> Autoencoder:
        """What is validated and shipped: the averaged weights where there are any."""
        return self.autoencoder if self.average is None else self.average


def initial_autoencoder(settings: TrainAutoencoder, clips: AudioClips, folder: RunFolder) -> Autoencoder:
    """Fresh networks on a linear path that is fitted once per run folder and kept in its pca.safetensors."""
    config = settings.config
    torch.manual_seed(settings.seed)
    if not config.linear_path:
        return Autoencoder(config)
    path = folder.path / "pca.safetensors"
    if not path.exists():
        fitted = Autoencoder(config)
        start = time.perf_counter()
        fit_linear_path(fitted, lambda: fit_batches(clips, settings))
        fitted.save_pretrained(path)
        folder.log(event="linear path fitted", seconds=round(time.perf_counter() - start, 1))
    # Read back even when just fitted: training must see the float16 rounding that users will.
    model = Autoencoder.from_pretrained(path)
    if model.config != config:
        raise BadInputError(f"{path}: fitted for another configuration; choose another run folder")
    if settings.initial is not None and not folder.checkpoint.exists():
        few = itertools.islice(fit_batches(clips, settings), _MOVED_BATCHES)
        model = with_decoder_of(model, Autoencoder.from_pretrained(settings.initial), few)
    return model.requires_grad_(True)


def prepare(settings: TrainAutoencoder, clips: AudioClips, folder: RunFolder) -> State:
    """Build everything and, where the run folder holds a checkpoint, go on from it."""
    recipe = settings.recipe
    accelerator = dataclasses.replace(settings, precision="no").accelerator()  # only the convolutions are reduced
    reduced = automatic_precision(settings.precision, accelerator.device.type) == "bf16"
    with accelerator.main_process_first():
        autoencoder = initial_autoencoder(settings, clips, folder)
    autoencoder.network_dtype = torch.bfloat16 if reduced else None
    trainable = [parameter for parameter in autoencoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, recipe.learning_rate, recipe.betas)
    critics = critic_optimizer = None
    if recipe.adversarial_start is not None:
        critics = Critics(autoencoder.config.window, autoencoder.config.hop)
        critic_optimizer = torch.optim.Adam(critics.parameters(), recipe.learning_rate, recipe.betas)
    weights = {k: v for k, v in recipe.weights.items() if k != "adversarial" or critics is not None}
    average = copy.deepcopy(autoencoder).requires_grad_(False).to(accelerator.device) if settings.ema else None
    objective = Objective(autoencoder, weights)
    state = State(accelerator, objective, autoencoder, optimizer, critics, critic_optimizer, average)
    if folder.checkpoint.exists():
        _restore(state, folder, identity(settings))
    state.objective, state.optimizer = accelerator.prepare(state.objective, state.optimizer)
    if critics is not None:
        state.critics, state.critic_optimizer = accelerator.prepare(critics, critic_optimizer)
    return state


def train_step(state: State, settings: TrainAutoencoder, clips: AudioClips) -> dict[str, float]:
    """One optimiser step (two with critics); all randomness is a function of (seed, step, example)."""
    recipe, config, accelerator = settings.recipe, state.autoencoder.config, state.accelerator
    micro = micro_batches(recipe.batch_size, accelerator, settings.accumulate)
    hops = draw_hops(step_generator(settings.seed, state.step), recipe.resolutions)
    adversarial = state.critics is not None and state.step >= (recipe.adversarial_start or 0)
    _set_learning_rate(state, recipe)

    state.optimizer.zero_grad(set_to_none=True)
    row: dict[str, float] = defaultdict(float)
    names, heard = [], []
    for number, indices in enumerate(micro):
        drawn, audio, noise = draw_batch(clips, settings, config, state.step, indices)
        names += drawn
        audio, noise = audio.to(accelerator.device), noise.to(accelerator.device)
        last = number == len(micro) - 1
        apart = contextlib.nullcontext() if last else accelerator.no_sync(state.objective)
        with apart:
            losses, decoded = state.objective(audio, noise, hops)
            if adversarial:
                losses["adversarial"] = generator_loss(accelerator.unwrap_model(state.critics)(decoded))
                heard.append((audio, decoded.detach()))
            total = weighted_sum(losses, recipe.weights)
            accelerator.backward(total / len(micro))
        for name, value in [("loss", total), *losses.items()]:
            row[name] += _mean(value, accelerator) / len(micro)
    norm = float(accelerator.clip_grad_norm_(state.objective.parameters(), 5.0))
    stop_unless_finite(RunFolder(settings.run), accelerator, step=state.step, loss=row["loss"], norm=norm, clips=names)
    state.optimizer.step()
    if state.average is not None:
        update_average(state.average, state.autoencoder, settings.ema, step=state.step + 1)
    if adversarial:
        row["critic"] = _critic_step(state, heard)
    state.step += 1
    return dict(row)


def _critic_step(state: State, heard: list[tuple[Tensor, Tensor]]) -> float:
    assert state.critics is not None and state.critic_optimizer is not None
    state.critic_optimizer.zero_grad(set_to_none=True)
    mean = 0.0
    for number, (audio, decoded) in enumerate(heard):
        apart = contextlib.nullcontext() if number == len(heard) - 1 else state.accelerator.no_sync(state.critics)
        with apart:
            scores = state.critics(torch.cat([audio, decoded]))
            loss = critic_loss(scores.chunk(2)[0], scores.chunk(2)[1])
            state.accelerator.backward(loss / len(heard))
        mean += _mean(loss, state.accelerator) / len(heard)
    state.critic_optimizer.step()
    return mean


def _mean(value: Tensor, accelerator: Accelerator) -> float:
    return accelerator.reduce(value.detach(), "mean").item()


@torch.no_grad()
def validate(state: State, audio: Tensor, mel: Tensor) -> dict[str, float]:
    """What the autoencoder keeps of `(batch, 2, samples)`."""
    model = state.result
    decoded = torch.cat([model.decode(one[None]) for one in model.encode(audio)]).cpu()
    return {name: round(value, 4) for name, value in probe(audio, decoded, mel).items()}


def train(settings: TrainAutoencoder, clips: AudioClips, validation: AudioClips) -> Autoencoder:
    """Run or resume training to the end and write weights.safetensors; returns the trained autoencoder.

    Raises BadInputError for an unknown preset, a run folder of another configuration, or a loss that is not finite.
    """
    check(settings)
    recipe, folder = settings.recipe, settings.folder
    state = prepare(settings, clips, folder)
    resumed = state.step
    main = state.accelerator.is_main_process
    audio, mel = validation_audio(settings, validation), mel_bands(2048)
    if main:
        folder.forget_after(state.step)
    if main and state.step == 0:
        folder.log(event="start", settings=identity(settings), **validate(state, audio, mel))
    bar = tqdm(initial=state.step, total=recipe.steps, desc=f"{settings.which} autoencoder", disable=not main)
    micro = micro_batches(recipe.batch_size, state.accelerator, settings.accumulate)

    def trial() -> None:
        _, piece, noise = draw_batch(clips, settings, state.autoencoder.config, state.step, micro[0])
        device, objective = state.accelerator.device, state.accelerator.unwrap_model(state.objective)
        hops = draw_hops(np.random.default_rng(0), recipe.resolutions)
        weighted_sum(objective(piece.to(device), noise.to(device), hops)[0], recipe.weights).backward()

    if state.step < recipe.steps:
        throughput = Throughput(recipe.batch_size, trial, len(micro) * state.accelerator.num_processes)
    while state.step < recipe.steps:
        throughput.start()
        row = train_step(state, settings, clips)
        throughput.stop()
        bar.update()
        bar.set_postfix(loss=f"{row['loss']:.3f}")
        if main and state.step % settings.log_every == 0:
            folder.log(step=state.step, **row, **throughput.row())
        if main and state.step % settings.validate_every == 0:
            folder.log(step=state.step, **validate(state, audio, mel))
            if settings.figures:
                _draw(state, audio[:3], folder)
        if main and (state.step % settings.checkpoint_every == 0 or state.step == recipe.steps):
            _save(state, folder, identity(settings))
    bar.close()
    weights = folder.path / "weights.safetensors"
    if main and (resumed < state.step or not weights.exists()):
        state.result.save_pretrained(weights)
        state.autoencoder, state.average = Autoencoder.from_pretrained(weights), None
        folder.log(event="end", step=state.step, **validate(state, audio, mel))
    state.accelerator.wait_for_everyone()
    return Autoencoder.from_pretrained(weights)


def _draw(state: State, audio: Tensor, folder: RunFolder) -> None:
    model = state.result
    decoded = torch.cat([model.decode(one[None]) for one in model.encode(audio)]).cpu()
    rows = {model.config.which: list(audio.numpy()), "reconstruction": list(decoded.numpy())}
    draw_spectrograms(rows, folder.path / f"reconstructions-{state.step:06d}.png")


def _set_learning_rate(state: State, recipe: Recipe) -> None:
    warmup = min(1.0, (state.step + 1) / min(100, max(recipe.steps // 10, 1)))
    decay = 0.5 + 0.5 * math.cos(math.pi * state.step / recipe.steps) if recipe.cosine else 1.0
    for optimizer in filter(None, (state.optimizer, state.critic_optimizer)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * warmup * decay


def _save(state: State, folder: RunFolder, unchanged: dict) -> None:
    unwrapped = state.accelerator.unwrap_model
    tensors = {f"model.{name}": tensor for name, tensor in state.autoencoder.state_dict().items()}
    tensors |= optimizer_tensors(state.optimizer, "optimizer")
    if state.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.state_dict().items()}
    if state.critics is not None and state.critic_optimizer is not None:
        critics = unwrapped(state.critics).state_dict()
        tensors |= {f"critics.{name}": tensor for name, tensor in critics.items()}
        tensors |= optimizer_tensors(state.critic_optimizer, "critic_optimizer")
    save_tensors(folder.checkpoint, tensors, {"step": state.step, "identity": unchanged})


def _restore(state: State, folder: RunFolder, unchanged: dict) -> None:
    tensors, metadata = load_tensors(folder.checkpoint)
    refuse_other_settings(folder.path, metadata.get("identity", {}), unchanged)
    state.step = int(metadata["step"])
    state.autoencoder.load_state_dict(_under("model.", tensors))
    restore_optimizer(state.optimizer, tensors, "optimizer")
    if state.average is not None:
        state.average.load_state_dict(_under("average.", tensors))
    if state.critics is not None and state.critic_optimizer is not None:
        state.critics.load_state_dict(_under("critics.", tensors))
        restore_optimizer(state.critic_optimizer, tensors, "critic_optimizer")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def dry_run(settings: TrainAutoencoder) -> str:
    """The settings with the preset's recipe filled in, and the sizes of the networks."""
    with torch.device("meta"):
        networks: dict[str, torch.nn.Module] = {"autoencoder": Autoencoder(settings.config)}
        if settings.recipe.adversarial_start is not None:
            networks["critics"] = Critics(settings.config.window, settings.config.hop)
    values = {**dataclasses.asdict(settings), **dataclasses.asdict(settings.recipe)}
    return describe({**values, "autoencoder": settings.config.to_dict()}, networks)


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        settings = tyro.cli(TrainAutoencoder, description=__doc__)
        check(settings)
        if settings.dry_run:
            print(dry_run(settings))
            return
        _ = settings.folder  # refused now, not after the songs are rendered
        sources = [
            training_stems(data, settings.which, count=count, families=settings.families, processes=settings.processes)
            for data, count in (
                (settings.data, settings.clips),
                (settings.validation_data, settings.validation_clips),
            )
        ]
        train(settings, *sources)


if __name__ == "__main__":
    main()
