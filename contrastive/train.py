"""Train the mix-bass matcher: `python -m contrastive.train`.

To resume, run the same command again. For several GPUs or machines start the same command with `accelerate launch`: the
pairs of a batch are divided among the processes, and each pair has those of all processes as its negatives.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from bassbench.errors import BadInputError, exit_on_bad_input, unknown_name
from bassbench.results.ownership import alone_in
from bassbench.training.checkpoint import (
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
from bassbench.training.loop import Throughput, describe, micro_batches, stop_unless_finite
from bassbench.training.settings import FREE_TO_CHANGE, RunSettings, refuse_impossible
from contrastive.augment import Augmentation, augmented
from contrastive.batch_loss import Negatives, batch_losses
from contrastive.config import MATCHERS, MIN_SECONDS
from contrastive.encoder import Matcher
from contrastive.gradient_cache import backward
from contrastive.sampling import draw_batch
from contrastive.songs import SongFeatures, song_features
from contrastive.validation import validate


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """One training run. What is not given is the preset's."""

    run: Path = Path("runs/matcher")
    """Folder for log, checkpoint and weights (matcher.safetensors)."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(MATCHERS))] = "small"
    songs: int | None = None
    """Songs or tracks of the data (default: the preset's number of the bank's train split, all of other data)."""
    variants: int = 1
    """Renderings of each song."""
    validation_songs: int = 64
    steps: int | None = None
    batch_size: int | None = None
    """Pairs of all processes together; each brings its bass and one from elsewhere in its song."""
    accumulate: int = 1
    """Parts of a batch that are embedded one after the other, to fit memory; the negatives stay those of all."""
    learning_rate: float | None = None
    seconds: float = 8.0
    """Length of a training crop."""
    alike: float = 0.9
    """Negatives that correlate with the true bass beyond this are left out."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    warmup: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    """Largest gradient norm."""
    processes: int = 2
    """Rendering processes, for songs whose features are not in the cache yet."""


_DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "batch_size": 4, "learning_rate": 3e-3},
    "small": {"steps": 1_100, "batch_size": 24, "learning_rate": 2e-3, "songs": 1_200},
    "paper": {"steps": 100_000, "batch_size": 256, "learning_rate": 3e-4},
}


@dataclass
class State:
    """All that lives during training and is saved in a checkpoint."""

    matcher: Matcher
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, run: RunFolder, config: TrainingConfig) -> None:
        """Write the checkpoint, and the weights as they would be shipped."""
        tensors = {f"matcher.{name}": tensor for name, tensor in self.matcher.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer, "optimizer")
        save_tensors(run.checkpoint, tensors, {"step": self.step, "config": settings_of(config, free=FREE_TO_CHANGE)})
        self.matcher.save_pretrained(run.path / "matcher.safetensors")

    def resume(self, run: RunFolder, config: TrainingConfig) -> None:
        """Continue from the run's checkpoint if it has one; BadInputError if it was made by another command."""
        if run.checkpoint.exists():
            tensors, metadata = load_tensors(run.checkpoint)
            refuse_other_settings(run.path, metadata.get("config", {}), settings_of(config, free=FREE_TO_CHANGE))
            prefix = "matcher."
            self.matcher.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
            restore_optimizer(self.optimizer, tensors, "optimizer")
            self.step = metadata["step"]


def train(
    config: TrainingConfig,
    songs: Sequence[SongFeatures],
    validation: Sequence[SongFeatures],
    *,
    accelerator: Accelerator | None = None,
) -> Matcher:
    """Run or resume training to its last step and return the matcher; its weights are in the run folder.

    Raises:
        BadInputError: the run folder holds another run, the songs are too short, or the loss is not finite any more.
    """
    config = resolved(config)
    assert config.steps and config.batch_size and config.learning_rate
    accelerator = accelerator or config.accelerator()
    run, device = RunFolder(config.run, config.tensorboard and accelerator.is_main_process), accelerator.device
    parts = micro_batches(config.batch_size, accelerator, config.accumulate)
    sizes = MATCHERS[config.preset]
    frames = round(config.seconds * sizes.features.frames_per_second)
    songs = [song for song in songs if song.frames > frames + 1 and song.bass.any() and song.mix.any()]
    if len(songs) < 2:
        raise BadInputError(f"{len(songs)} songs are longer than {config.seconds:g} s; at least 2 are needed")

    torch.manual_seed(config.seed)
    matcher = Matcher(sizes).to(device)
    optimizer = torch.optim.AdamW(
        matcher.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    state = State(matcher, optimizer)
    state.resume(run, config)
    model, prepared = accelerator.prepare(matcher, optimizer)
    if accelerator.is_main_process:
        run.forget_after(state.step)

    if state.step < config.steps:
        trial = functools.partial(_trial, matcher, frames, len(parts[0]), accelerator)
        throughput = Throughput(config.batch_size, trial, len(parts) * accelerator.num_processes)
        optimizer.zero_grad()
    seen: list[dict[str, float]] = []
    bar = tqdm(total=config.steps, initial=state.step, desc="matcher", disable=not accelerator.is_main_process)
    while state.step < config.steps:
        throughput.start()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warmed_cosine(state.step, steps=config.steps, warmup=config.warmup)
        generator = step_generator(config.seed, state.step)
        batch = draw_batch(songs, generator, sizes.features, pairs=config.batch_size, frames=frames)
        mix, bass = (torch.from_numpy(views).to(device) for views in (batch.mix, batch.bass))
        negatives = Negatives.of(bass, len(mix), threshold=config.alike)
        mix, bass = augmented(mix, bass, generator, config.augmentation)
        kinds = bass.unflatten(0, (-1, len(mix)))

        matcher.train()
        embedded = functools.partial(_embedded, model, mix, kinds, config.seed, state.step, accelerator)
        losses_of = functools.partial(batch_losses, negatives=negatives, accelerator=accelerator)
        losses = backward(embedded, parts, losses_of, model=model, accelerator=accelerator)
        norm = float(accelerator.clip_grad_norm_(matcher.parameters(), config.clip))
        own = [batch.names[index] for part in parts for index in part]
        stop_unless_finite(run, accelerator, step=state.step, loss=losses["loss"], norm=norm, clips=own)
        scale = float(matcher.scale.detach())
        prepared.step()
        prepared.zero_grad()
        state.step += 1

        throughput.stop()
        bar.update()
        if accelerator.is_main_process:
            seen.append(losses)
            last = state.step == config.steps
            if state.step % config.log_every == 0 or last:
                means = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
                rate = optimizer.param_groups[0]["lr"]
                row = {**means, "scale": scale, "gradient_norm": norm, "learning_rate": rate}
                run.log(step=state.step, **row, **throughput.row())
                bar.set_postfix(loss=f"{means['loss']:.3f}")
                seen.clear()
            if state.step % config.validate_every == 0 or last:
                row = validate(matcher, validation)
                run.log(step=state.step, **row)
                bar.write(f"step {state.step}: " + "  ".join(f"{name} {value:.3f}" for name, value in row.items()))
            if state.step % config.checkpoint_every == 0 or last:
                state.save(run, config)
    bar.close()
    accelerator.wait_for_everyone()
    return matcher.eval()


def _embedded(
    model: nn.Module, mix: Tensor, kinds: Tensor, seed: int, step: int, accelerator: Accelerator, part: range
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of some pairs of a batch: mixes `(pairs, ...)`, basses `(kinds, pairs, ...)`, and 1 / temperature."""
    torch.manual_seed(int(step_generator(seed, step, 1 + part.start).integers(2**62)))  # dropout
    with accelerator.autocast():
        mixes, basses, scale = model(mix[part], kinds[:, part].flatten(0, 1))
    return mixes, basses.unflatten(0, (len(kinds), len(part))), scale


def _trial(matcher: Matcher, frames: int, pairs: int, accelerator: Accelerator) -> None:
    """The passes of one part of a batch, each pair with two basses, to count their operations."""
    sizes = matcher.config.features
    views = torch.zeros(3 * pairs, sizes.view + sizes.upper_bands, frames, device=accelerator.device)
    with accelerator.autocast():
        mix, bass, scale = matcher(views[:pairs], views[pairs:])
    (scale * (mix.square().sum() + bass.square().sum())).backward()


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    if config.preset not in MATCHERS:
        raise unknown_name("preset", config.preset, MATCHERS)
    missing = {name: value for name, value in _DEFAULTS[config.preset].items() if getattr(config, name) is None}
    if config.data != "train":
        missing.pop("songs", None)
    config = dataclasses.replace(config, **missing)
    refuse_impossible(config)
    if config.seconds < MIN_SECONDS:
        raise BadInputError(f"--seconds must be at least {MIN_SECONDS:g}, got {config.seconds:g}")
    if config.validation_songs < 2:
        raise BadInputError("retrieval takes at least 2 in --validation-songs")
    return config


def main() -> None:
    """Command line."""
    with exit_on_bad_input(), contextlib.ExitStack() as held:
        config = resolved(tyro.cli(TrainingConfig, description=__doc__))
        if config.dry_run:
            with torch.device("meta"):
                print(describe(dataclasses.asdict(config), {"matcher": Matcher(MATCHERS[config.preset])}))
            return
        RunFolder(config.run)  # refused now, not after the songs are rendered
        accelerator = config.accelerator()
        if accelerator.is_main_process:
            held.enter_context(alone_in(config.run))
        RunFolder(config.run, config.tensorboard and accelerator.is_main_process)
        sizes = MATCHERS[config.preset].features
        with accelerator.main_process_first():
            songs, validation = (
                song_features(
                    split,
                    sizes,
                    songs=count,
                    variants=variants,
                    processes=config.processes,
                    progress=accelerator.is_main_process,
                )
                for split, count, variants in (
                    (config.data, config.songs, config.variants),
                    (config.validation_data, config.validation_songs, 1),
                )
            )
        train(config, songs, validation, accelerator=accelerator)


if __name__ == "__main__":
    main()
