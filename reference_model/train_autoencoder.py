"""Train one autoencoder: `python -m reference_model.train_autoencoder --which bass --run runs/bass_autoencoder`.

The same command resumes an interrupted run; under `accelerate launch -m` it runs on many devices.  The run folder gets
pca.safetensors (the linear path alone, usable at once; all there is with `--steps 0`), log.jsonl, a checkpoint, and
at the end weights.safetensors in float16.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.datasets import stem_clips
from bassbench.runs import (
    RunFolder,
    load_tensors,
    optimizer_tensors,
    refuse_other_settings,
    restore_optimizer,
    save_tensors,
    step_generator,
)
from reference_model.autoencoder import Autoencoder
from reference_model.autoencoder_objective import RECIPES, Objective, Recipe, weighted_sum
from reference_model.codec_probes import probe
from reference_model.config import AUTOENCODERS, R_TIME
from reference_model.critics import Critics, critic_loss, generator_loss
from reference_model.linear_path import fit_linear_path
from reference_model.spectral_loss import draw_hops, mel_bands


class AudioClips(Protocol):
    """Where crops come from: `clips[i]` is int16 or float `(2, samples)`, possibly on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class TrainAutoencoder:
    """Settings of one run; None takes the preset's recipe."""

    which: Literal["mix", "bass"]
    run: Path
    preset: str = "small"
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    adversarial_start: int | None = None
    crop_frames: int = 16
    """Latent frames in a crop (65,536 samples, 1.5 s, as in the paper)."""
    fit_frames: int = 40_960
    """Latent frames that the linear path is fitted on."""
    clips: int | None = None
    """Training songs; None: all."""
    validation_clips: int = 12
    seed: int = 0
    threads: int = 1
    processes: int = 1
    """Worker processes that render songs not yet in the cache."""
    bfloat16: bool = True
    """Convolutions in bfloat16; STFTs, norms and losses stay in float32."""
    validate_every: int = 500
    checkpoint_every: int = 100

    @property
    def recipe(self) -> Recipe:
        """The preset's recipe with what the command line changed."""
        if self.preset not in RECIPES:
            raise BadInputError(f"no preset {self.preset!r}; choose from {', '.join(RECIPES)}")
        names = ("steps", "batch_size", "learning_rate", "adversarial_start")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(RECIPES[self.preset], **changes)


@dataclasses.dataclass
class State:
    """All that lives during training."""

    accelerator: Accelerator
    objective: torch.nn.Module
    autoencoder: Autoencoder
    optimizer: torch.optim.Optimizer
    critics: Critics | None
    critic_optimizer: torch.optim.Optimizer | None
    step: int = 0


def crop(clips: AudioClips, generator: np.random.Generator, samples: int) -> np.ndarray:
    """A random crop `(2, samples)` of a random clip as float32; shorter clips are padded with silence."""
    clip = clips[int(generator.integers(len(clips)))]
    start = int(generator.integers(max(clip.shape[1] - samples, 0) + 1))
    piece = np.asarray(clip[:, start : start + samples])
    scale = np.float32(1 / 32767 if piece.dtype == np.int16 else 1)
    return np.pad(piece.astype(np.float32) * scale, ((0, 0), (0, samples - piece.shape[1])))


def fit_batches(clips: AudioClips, settings: TrainAutoencoder) -> Iterator[Tensor]:
    """The same random pieces of 64 latent frames at every call, `(8, 2, 262144)` at a time."""
    generator = step_generator(settings.seed, 0, 1 << 20)
    for _ in range(-(-settings.fit_frames // (8 * 64))):
        yield torch.from_numpy(np.stack([crop(clips, generator, 64 * R_TIME) for _ in range(8)]))


def initial_autoencoder(settings: TrainAutoencoder, clips: AudioClips, folder: RunFolder) -> Autoencoder:
    """Fresh networks on a linear path that is fitted once per run folder and kept in its pca.safetensors."""
    config = AUTOENCODERS[settings.preset][settings.which]
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
    return model.requires_grad_(True)


def prepare(settings: TrainAutoencoder, clips: AudioClips, folder: RunFolder) -> State:
    """Build everything and, where the run folder holds a checkpoint, go on from it."""
    torch.set_num_threads(settings.threads)
    recipe, accelerator = settings.recipe, Accelerator()
    with accelerator.main_process_first():
        autoencoder = initial_autoencoder(settings, clips, folder)
    autoencoder.network_dtype = torch.bfloat16 if settings.bfloat16 else None
    trainable = [parameter for parameter in autoencoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, recipe.learning_rate, recipe.betas)
    critics = critic_optimizer = None
    if recipe.adversarial_start is not None:
        critics = Critics(autoencoder.config.window, autoencoder.config.hop)
        critic_optimizer = torch.optim.Adam(critics.parameters(), recipe.learning_rate, recipe.betas)
    weights = {k: v for k, v in recipe.weights.items() if k != "adversarial" or critics is not None}
    state = State(accelerator, Objective(autoencoder, weights), autoencoder, optimizer, critics, critic_optimizer)
    if folder.checkpoint.exists():
        _restore(state, folder, _identity(settings))
    state.objective, state.optimizer = accelerator.prepare(state.objective, state.optimizer)
    if critics is not None:
        state.critics, state.critic_optimizer = accelerator.prepare(critics, critic_optimizer)
    return state


def train_step(state: State, settings: TrainAutoencoder, clips: AudioClips) -> dict[str, float]:
    """One optimiser step (two with critics); all randomness is a function of (seed, step, rank)."""
    recipe, config, device = settings.recipe, state.autoencoder.config, state.accelerator.device
    generator = step_generator(settings.seed, state.step, state.accelerator.process_index)
    samples = settings.crop_frames * R_TIME
    audio = torch.from_numpy(np.stack([crop(clips, generator, samples) for _ in range(recipe.batch_size)]))
    gain = 10 ** (generator.uniform(-1, 1, (recipe.batch_size, 1, 1)) * recipe.gain_db / 20)
    audio = (audio * torch.from_numpy(gain).float()).to(device)
    noise = torch.Generator().manual_seed(int(generator.integers(2**62)))
    latent_noise = recipe.latent_noise * torch.randn(
        recipe.batch_size, settings.crop_frames, config.dims, generator=noise
    )
    hops = draw_hops(generator, recipe.resolutions)
    _set_learning_rate(state, recipe)

    losses, decoded = state.objective(audio, latent_noise.to(device), hops)
    adversarial = state.critics is not None and state.step >= (recipe.adversarial_start or 0)
    if adversarial:
        losses["adversarial"] = generator_loss(state.accelerator.unwrap_model(state.critics)(decoded))
    total = weighted_sum(losses, recipe.weights)
    if not torch.isfinite(total):
        raise BadInputError(
            f"the loss is not finite at step {state.step}; lower --learning-rate and run again from the checkpoint"
        )
    state.optimizer.zero_grad(set_to_none=True)
    state.accelerator.backward(total)
    state.accelerator.clip_grad_norm_(state.objective.parameters(), 5.0)
    state.optimizer.step()
    row = {name: value.item() for name, value in losses.items()}
    if adversarial:
        assert state.critics is not None and state.critic_optimizer is not None
        scores = state.critics(torch.cat([audio, decoded.detach()]))
        loss = critic_loss(scores.chunk(2)[0], scores.chunk(2)[1])
        state.critic_optimizer.zero_grad(set_to_none=True)
        state.accelerator.backward(loss)
        state.critic_optimizer.step()
        row["critic"] = loss.item()
    state.step += 1
    return {"loss": total.item(), **row}


@torch.no_grad()
def validate(state: State, audio: Tensor, mel: Tensor) -> dict[str, float]:
    """What the autoencoder keeps of `(batch, 2, samples)`."""
    model = state.autoencoder
    decoded = torch.cat([model.decode(one[None]) for one in model.encode(audio)]).cpu()
    return {name: round(value, 4) for name, value in probe(audio, decoded, mel).items()}


def validation_audio(settings: TrainAutoencoder, clips: AudioClips) -> Tensor:
    """The first 12 s or so of each validation clip, `(clips, 2, samples)`."""
    samples = 128 * R_TIME if settings.preset != "tiny" else settings.crop_frames * R_TIME
    pieces = [crop([clips[i][:, :samples]], np.random.default_rng(0), samples) for i in range(len(clips))]
    return torch.from_numpy(np.stack(pieces))


def train(settings: TrainAutoencoder, clips: AudioClips, validation: AudioClips) -> Autoencoder:
    """Run or resume training to the end and write weights.safetensors; returns the trained autoencoder.

    Raises BadInputError for an unknown preset, a run folder of another configuration, or a loss that is not finite.
    """
    recipe, folder = settings.recipe, RunFolder(settings.run)
    state = prepare(settings, clips, folder)
    main = state.accelerator.is_main_process
    audio, mel = validation_audio(settings, validation), mel_bands(2048)
    if main:
        folder.forget_after(state.step)
    if main and state.step == 0:
        folder.log(event="start", settings=_identity(settings), **validate(state, audio, mel))
    bar = tqdm(initial=state.step, total=recipe.steps, desc=f"{settings.which} autoencoder", disable=not main)
    start, done = time.perf_counter(), state.step
    while state.step < recipe.steps:
        row = train_step(state, settings, clips)
        bar.update()
        bar.set_postfix(loss=f"{row['loss']:.3f}")
        if main and (state.step % 10 == 0 or state.step <= 10):
            seconds = (time.perf_counter() - start) / (state.step - done)
            folder.log(step=state.step, seconds_per_step=round(seconds, 4), **row)
        if main and state.step % settings.validate_every == 0:
            folder.log(step=state.step, **validate(state, audio, mel))
        if main and (state.step % settings.checkpoint_every == 0 or state.step == recipe.steps):
            _save(state, folder, _identity(settings))
    bar.close()
    if main:
        state.autoencoder.save_pretrained(folder.path / "weights.safetensors")
        state.autoencoder = Autoencoder.from_pretrained(folder.path / "weights.safetensors")
        folder.log(event="end", step=state.step, **validate(state, audio, mel))
    return state.autoencoder


def _set_learning_rate(state: State, recipe: Recipe) -> None:
    warmup = min(1.0, (state.step + 1) / min(100, max(recipe.steps // 10, 1)))
    decay = 0.5 + 0.5 * math.cos(math.pi * state.step / recipe.steps) if recipe.cosine else 1.0
    for optimizer in filter(None, (state.optimizer, state.critic_optimizer)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * warmup * decay


def _identity(settings: TrainAutoencoder) -> dict:
    """What must not change between the commands that start and resume a run, as JSON would give it back."""
    recipe = dataclasses.asdict(settings.recipe)
    recipe["betas"] = list(recipe["betas"])
    names = ("which", "preset", "crop_frames", "fit_frames", "clips", "seed", "bfloat16")
    config = AUTOENCODERS[settings.preset][settings.which].to_dict()
    config |= {name: [dict(stage) for stage in config[name]] for name in ("encoder", "decoder")}
    return {**{name: getattr(settings, name) for name in names}, "recipe": recipe, "config": config}


def _save(state: State, folder: RunFolder, identity: dict) -> None:
    unwrapped = state.accelerator.unwrap_model
    tensors = {f"model.{name}": tensor for name, tensor in state.autoencoder.state_dict().items()}
    tensors |= optimizer_tensors(state.optimizer, "optimizer")
    if state.critics is not None and state.critic_optimizer is not None:
        critics = unwrapped(state.critics).state_dict()
        tensors |= {f"critics.{name}": tensor for name, tensor in critics.items()}
        tensors |= optimizer_tensors(state.critic_optimizer, "critic_optimizer")
    save_tensors(folder.checkpoint, tensors, {"step": state.step, "identity": identity})


def _restore(state: State, folder: RunFolder, identity: dict) -> None:
    tensors, metadata = load_tensors(folder.checkpoint)
    refuse_other_settings(folder.path, metadata.get("identity", {}), identity)
    state.step = int(metadata["step"])
    state.autoencoder.load_state_dict(_under("model.", tensors))
    restore_optimizer(state.optimizer, tensors, "optimizer")
    if state.critics is not None and state.critic_optimizer is not None:
        state.critics.load_state_dict(_under("critics.", tensors))
        restore_optimizer(state.critic_optimizer, tensors, "critic_optimizer")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        settings = tyro.cli(TrainAutoencoder, description=__doc__)
        _ = settings.recipe, RunFolder(settings.run)  # refused now, not after the songs are rendered
        sources = {
            split: stem_clips(split, settings.which, count, processes=settings.processes)
            for split, count in (("train", settings.clips), ("validation", settings.validation_clips))
        }
        train(settings, sources["train"], sources["validation"])


if __name__ == "__main__":
    main()
