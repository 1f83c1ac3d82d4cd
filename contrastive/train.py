"""Train the mix-bass matcher: `python -m contrastive.train`.

To resume, run the same command again. For several GPUs or machines start the same command with `accelerate launch`: the
pairs of a batch are divided among the processes, and each pair has those of all processes as its negatives.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor

from bassbench.errors import BadInputError, exit_on_bad_input, unknown_name
from bassbench.training import settings as run_settings
from bassbench.training.checkpoint import State, settings_of, step_generator, warmed_cosine
from bassbench.training.loop import Measure, Training, describe
from bassbench.training.settings import RunSettings, refuse_impossible
from contrastive.batch import Augmentation, Batch, augmented, draw_batch
from contrastive.config import MATCHERS, MIN_SECONDS, Preset
from contrastive.encoder import Matcher
from contrastive.loss import Embedded, Negatives, backward, batch_losses
from contrastive.songs import SongFeatures, song_features
from contrastive.validation import validate


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """One training run. What is not given is the preset's."""

    run: Path = Path("runs/matcher")
    """Folder for log, checkpoint and weights (matcher.safetensors)."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(MATCHERS))] = "small"
    variant: Annotated[Preset | None, tyro.conf.Fixed, tyro.conf.Suppress] = None
    """What to train instead of the row of `MATCHERS`, for a study of variants: `preset` then only names it."""
    songs: int | None = None
    """Songs or tracks of the data (default: the preset's number of the bank's train split, all of other data)."""
    variants: int = 1
    """Renderings of each song."""
    validation_songs: int = 64
    batch_size: int | None = None
    """Pairs of all processes together; each brings its bass and one from elsewhere in its song."""
    accumulate: int = 1
    """Parts of a batch that are embedded one after the other, to fit memory; the negatives stay those of all."""
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


FREE_TO_CHANGE = (*run_settings.FREE_TO_CHANGE, "variant")


def preset_of(config: TrainingConfig) -> Preset:
    """The row of `MATCHERS`, or the variant of one; BadInputError if there is none of that name."""
    if config.variant is None and config.preset not in MATCHERS:
        raise unknown_name("preset", config.preset, MATCHERS)
    return config.variant or MATCHERS[config.preset]


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the preset's values where none was given; BadInputError if it cannot be run."""
    preset = preset_of(config)
    names = ["steps", "batch_size", "learning_rate", *(["songs"] if config.data == "train" else [])]
    missing = {name: getattr(preset, name) for name in names if getattr(config, name) is None}
    config = dataclasses.replace(config, **missing)
    refuse_impossible(config)
    if config.seconds < MIN_SECONDS:
        raise BadInputError(f"--seconds must be at least {MIN_SECONDS:g}, got {config.seconds:g}")
    if config.validation_songs < 2:
        raise BadInputError("retrieval takes at least 2 in --validation-songs")
    return config


class MatcherTraining(Training[tuple[Batch, np.random.Generator]]):
    """A run: both towers learn to find the bass of a mix, and the mix of a bass."""

    settings: TrainingConfig
    title = "matcher"

    def __init__(
        self,
        config: TrainingConfig,
        songs: Sequence[SongFeatures],
        validation: Sequence[SongFeatures],
        accelerator: Accelerator,
    ) -> None:
        assert config.steps and config.batch_size and config.learning_rate
        sizes = preset_of(config).sizes
        self.features, self.frames = sizes.features, round(config.seconds * sizes.features.frames_per_second)
        self.songs = [song for song in songs if song.frames > self.frames + 1 and song.bass.any() and song.mix.any()]
        self.validation = validation
        if len(self.songs) < 2:
            raise BadInputError(f"{len(self.songs)} songs are longer than {config.seconds:g} s; at least 2 are needed")

        # The network and its optimiser
        torch.manual_seed(config.seed)
        self.matcher = Matcher(sizes).to(accelerator.device)
        optimizer = torch.optim.AdamW(
            self.matcher.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        state = State({"matcher": self.matcher}, {"optimizer": optimizer})

        # Where the run was, and then to the devices
        state.resume(config.folder(accelerator), settings_of(config, free=FREE_TO_CHANGE))
        self.model, self.optimizer = accelerator.prepare(self.matcher, optimizer)
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

    def draw(self, step: int) -> tuple[Batch, np.random.Generator]:
        """The whole batch, of all processes, and the generator for what is drawn after it."""
        generator = step_generator(self.settings.seed, step)
        return draw_batch(self.songs, generator, self.features, pairs=self.batch_size, frames=self.frames), generator

    def trial(self) -> None:
        """Each pair with two basses."""
        pairs, rows = len(self.micro[0]), self.features.view + self.features.upper_bands
        views = torch.zeros(3 * pairs, rows, self.frames, device=self.accelerator.device)
        with self.accelerator.autocast():
            mix, bass, scale = self.matcher(views[:pairs], views[pairs:])
        (scale * (mix.square().sum() + bass.square().sum())).backward()

    def learn(self, drawn: tuple[Batch, np.random.Generator]) -> tuple[dict[str, Tensor], list[str]]:
        """One step on InfoNCE over the whole batch, of which this process embeds its own parts."""
        batch, generator = drawn
        config, accelerator = self.settings, self.accelerator
        mix, bass = (torch.from_numpy(views).to(accelerator.device) for views in (batch.mix, batch.bass))
        negatives = Negatives.of(bass, len(mix), threshold=config.alike)
        mix, bass = augmented(mix, bass, generator, config.augmentation)
        kinds = bass.unflatten(0, (-1, len(mix)))

        self.matcher.train()
        embedded = functools.partial(self._embedded, mix, kinds)
        losses_of = functools.partial(batch_losses, negatives=negatives, accelerator=accelerator)
        losses = backward(embedded, self.micro, losses_of, model=self.model, accelerator=accelerator)
        norm = accelerator.clip_grad_norm_(self.matcher.parameters(), config.clip)
        scale = self.matcher.scale.detach()
        self.optimizer.step()
        self.optimizer.zero_grad()
        names = [batch.names[index] for part in self.micro for index in part]
        return {**losses, "scale": scale, "gradient_norm": norm}, names

    def _embedded(self, mix: Tensor, kinds: Tensor, part: range) -> Embedded:
        """Embeddings of some pairs of a batch: mixes `(pairs, ...)`, basses `(kinds, pairs, ...)`, 1 / temperature."""
        dropout = step_generator(self.settings.seed, self.state.step, 1 + part.start)
        torch.manual_seed(int(dropout.integers(2**62)))
        with self.accelerator.autocast():
            mixes, basses, scale = self.model(mix[part], kinds[:, part].flatten(0, 1))
        return mixes, basses.unflatten(0, (len(kinds), len(part))), scale

    def row(self, steps: list[dict[str, float]]) -> dict[str, float]:
        """The mean losses, and the last step's temperature, gradient and learning rate."""
        last = {name: steps[-1][name] for name in ("scale", "gradient_norm")}
        means = {name: float(np.mean([step[name] for step in steps])) for name in steps[0] if name not in last}
        return {**means, **last, "learning_rate": self.optimizer.param_groups[0]["lr"]}

    def measures(self) -> list[tuple[int, Measure]]:
        """How well validation songs find their own bass."""
        return [(self.settings.validate_every, lambda: validate(self.matcher, self.validation))]

    def save(self) -> None:
        """Write the checkpoint, and the weights as they would be shipped."""
        self.state.save(self.run, settings_of(self.settings, free=FREE_TO_CHANGE))
        self.matcher.save_pretrained(self.run.path / "matcher.safetensors")


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
    training = MatcherTraining(config, songs, validation, accelerator or config.accelerator())
    training.fit()
    return training.matcher.eval()


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        config = resolved(tyro.cli(TrainingConfig, description=__doc__))
        sizes = preset_of(config).sizes
        if config.dry_run:
            with torch.device("meta"):
                print(describe(config, {"matcher": Matcher(sizes)}))
            return
        with config.held() as accelerator:
            with accelerator.main_process_first():
                songs, validation = (
                    song_features(
                        split,
                        sizes.features,
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
