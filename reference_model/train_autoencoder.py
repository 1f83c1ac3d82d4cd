"""Train one autoencoder: `python -m reference_model.train_autoencoder --which bass --run runs/bass_autoencoder`.

The same command resumes an interrupted run; under `accelerate launch -m` it runs on many devices, which divide the
batch among them.  The run folder gets pca.safetensors (the linear path alone, usable at once),
log.jsonl, a checkpoint, and at the end weights.safetensors in float16.  An encoder network's latents are standardised
then, on crops of the training data.
"""

import copy
import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor

from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.stems.training_data import training_stems
from bassbench.training.checkpoint import RunFolder, State, step_generator, warmed_cosine
from bassbench.training.loop import Measure, Training, added_up, describe, example_generator, update_average
from bassbench.training.settings import RunSettings, refuse_impossible
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec_probes import probe
from reference_model.critics import Critics, critic_loss, generator_loss
from reference_model.losses import Objective, draw_hops, mel_bands, weighted_sum
from reference_model.presets import PRESETS, R_TIME, AutoencoderConfig, AutoencoderRecipe, Preset, find_preset
from reference_model.training_samples import draw_spectrograms

_MOVED_BATCHES = 12  # of eight times 64 frames, to move a decoder to other latents


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainAutoencoder(RunSettings):
    """Settings of one run; None takes the preset's recipe."""

    which: Literal["mix", "bass"]
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(PRESETS))] = "small"
    variant: Annotated[Preset | None, tyro.conf.Fixed, tyro.conf.Suppress] = None
    """What to train instead of the row of `PRESETS`, for a study of variants: `preset` then only names it."""
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
    """Decay of averaged weights, which are then what is validated and shipped; 0: the last weights, as in the paper."""
    crop_frames: int = 16
    """Latent frames in a crop (65,536 samples, 1.5 s, as in the paper)."""
    fit_frames: int = 40_960
    """Latent frames that the linear path is fitted on."""
    data: str = "train"
    """Split of the song bank to train on, a folder of stems (for the mix autoencoder also of mixes) or of shards."""
    clips: int | None = None
    """Training songs of the bank; None: all."""
    families: tuple[str, ...] = ()
    """Rendering families of the song bank's splits (`bassbench.songs.families`), or "all"."""
    validation_clips: int = 12
    precision: Literal["auto", "bf16", "no"] = "auto"
    """Type of the convolutions: bfloat16 where that is fast, or float32. STFTs, norms and losses are float32."""
    validate_every: int = 500
    checkpoint_every: int = 100
    figures: bool = False
    """Draw reconstructions of three validation clips at every validation."""

    @property
    def recipe(self) -> AutoencoderRecipe:
        """The preset's recipe with what the command line changed."""
        names = ("steps", "batch_size", "learning_rate", "adversarial_start")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace((self.variant or find_preset(self.preset)).autoencoder_recipe, **changes)

    @property
    def config(self) -> AutoencoderConfig:
        """The preset's sizes, with or without the linear path as the command line says."""
        config = (self.variant or find_preset(self.preset)).autoencoders[self.which]
        names = ("linear_path", "chroma_dims", "side_dims", "component_deviation")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        try:
            return dataclasses.replace(config, **changes)
        except ValueError as error:
            raise BadInputError(f"preset '{self.preset}' cannot be so: {error}") from None

    def accelerator(self) -> Accelerator:
        """Of full precision: only the convolutions are reduced, by the autoencoder itself."""
        return super(TrainAutoencoder, dataclasses.replace(self, precision="no")).accelerator()


def identity(settings: TrainAutoencoder) -> dict:
    """What must not change between the commands that start and resume a run, as JSON would give it back."""
    recipe = dataclasses.asdict(settings.recipe)
    recipe["betas"] = list(recipe["betas"])
    names = ("which", "preset", "data", "crop_frames", "fit_frames", "clips", "seed", "ema")
    config = settings.config.to_dict()
    config |= {name: [dict(stage) for stage in config[name]] for name in ("encoder", "decoder")}
    chosen = {"families": list(settings.families)} if settings.families else {}
    return {**{name: getattr(settings, name) for name in names}, **chosen, "recipe": recipe, "config": config}


SINCE = {"recipe": {"clip": 5.0}}
"""What a run had that was begun before there was the choice."""


def check(settings: TrainAutoencoder) -> None:
    """Raise BadInputError for settings that no run can have."""
    _ = settings.recipe, settings.config
    refuse_impossible(settings)


# What a step hears: crops, all randomness of each a function of (seed, step, example)


class AudioClips(Protocol):
    """Where crops come from: `clips[i]` is int16 or float `(2, samples)`, possibly on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Crops:
    """Some examples of a step."""

    names: list[str]
    audio: Tensor
    """`(batch, 2, samples)`."""
    noise: Tensor
    """Of the latents, `(batch, frames, dims)`."""

    @classmethod
    def draw(cls, clips: AudioClips, settings: TrainAutoencoder, step: int, indices: Sequence[int]) -> "Crops":
        """The examples `indices` of a step."""
        recipe, shape = settings.recipe, (settings.crop_frames, settings.config.dims)
        names, audio, noise = [], [], []
        for index in indices:
            generator = example_generator(settings.seed, step, index)
            name, piece = crop(clips, generator, settings.crop_frames * R_TIME)
            names.append(name)
            audio.append(piece * np.float32(10 ** (generator.uniform(-1, 1) * recipe.gain_db / 20)))
            noise.append(np.float32(recipe.latent_noise) * generator.standard_normal(shape, dtype=np.float32))
        return cls(names, torch.from_numpy(np.stack(audio)), torch.from_numpy(np.stack(noise)))


def crop(clips: AudioClips, generator: np.random.Generator, samples: int) -> tuple[str, np.ndarray]:
    """A random crop `(2, samples)` of a random clip as float32, and its name; shorter clips are padded with silence."""
    index = int(generator.integers(len(clips)))
    clip = clips[index]
    start = int(generator.integers(max(clip.shape[1] - samples, 0) + 1))
    piece = np.asarray(clip[:, start : start + samples])
    scale = np.float32(1 / 32767 if piece.dtype == np.int16 else 1)
    audio = np.pad(piece.astype(np.float32) * scale, ((0, 0), (0, samples - piece.shape[1])))
    return f"clip {index} from sample {start}", audio


def fit_batches(clips: AudioClips, settings: TrainAutoencoder) -> Iterator[Tensor]:
    """The same random pieces of 64 latent frames at every call, `(8, 2, 262144)` at a time."""
    generator = step_generator(settings.seed, 0, 1 << 20)
    for _ in range(-(-settings.fit_frames // (8 * 64))):
        yield torch.from_numpy(np.stack([crop(clips, generator, 64 * R_TIME)[1] for _ in range(8)]))


def validation_audio(settings: TrainAutoencoder, clips: AudioClips) -> Tensor:
    """The first 12 s or so of each validation clip, `(clips, 2, samples)`."""
    samples = 128 * R_TIME if settings.preset != "tiny" else settings.crop_frames * R_TIME
    chosen = (clips[index][:, :samples] for index in range(min(len(clips), settings.validation_clips)))
    pieces = [crop([clip], np.random.default_rng(0), samples)[1] for clip in chosen]
    return torch.from_numpy(np.stack(pieces))


# The run


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
        fitted.fit_linear_path(lambda: fit_batches(clips, settings))
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


@torch.no_grad()
def with_decoder_of(model: Autoencoder, other: Autoencoder, audio: Iterable[Tensor]) -> Autoencoder:
    """The model with another's decoder network, moved to the model's latents by least squares on audio.

    Two encoders that are PCAs of nearly the same features give latents that differ by little more than a rotation: the
    decoder's first convolution takes that up, and training goes on from there instead of from random weights.
    `audio` yields `(batch, 2, samples)` in whole latent frames.

    Raises:
        BadInputError: their decoders have other sizes, or the latents another number of dimensions.
    """
    if model.config.decoder != other.config.decoder or model.config.dims != other.config.dims:
        raise BadInputError("the weights to start from have a decoder of another size; choose the same preset")
    pairs = [
        [coder.latent(coder.log_magnitude(piece), coder.heard(piece)).flatten(0, 1) for coder in (model, other)]
        for piece in audio
    ]
    source, target = (torch.cat(side).double() for side in zip(*pairs, strict=True))
    means = source.mean(0), target.mean(0)
    matrix = torch.linalg.lstsq(source - means[0], target - means[1]).solution  # (model's dims, other's dims)
    weights = {name: tensor.clone() for name, tensor in other.decoder.state_dict().items()}
    first = weights["layers.0.weight"].double()
    offset = means[1] - means[0] @ matrix
    weights["layers.0.weight"] = torch.einsum("oikt,ji->ojkt", first, matrix).float()
    weights["layers.0.bias"] = weights["layers.0.bias"] + torch.einsum("oikt,i->o", first, offset).float()
    model.decoder.load_state_dict(weights)
    return model


class AutoencoderTraining(Training[list[Crops]]):
    """A run of the paper's section 3.1: an autoencoder and, from a step on, two critics that it plays against."""

    settings: TrainAutoencoder

    def __init__(
        self,
        settings: TrainAutoencoder,
        clips: AudioClips,
        validation: AudioClips,
        accelerator: Accelerator | None = None,
    ) -> None:
        check(settings)
        accelerator = accelerator or settings.accelerator()
        self.title, self.clips = f"{settings.which} autoencoder", clips
        self.recipe = recipe = settings.recipe

        # The networks and their optimisers
        with accelerator.main_process_first():
            self.autoencoder = initial_autoencoder(settings, clips, settings.folder(accelerator))
        self.autoencoder.network_dtype = torch.bfloat16 if settings.reduced(accelerator.device.type) else None
        trainable = [parameter for parameter in self.autoencoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trainable, recipe.learning_rate, recipe.betas)
        state = State({"model": self.autoencoder}, {"optimizer": optimizer})
        self.average: Autoencoder | None = None
        self.critics: torch.nn.Module | None = None
        if settings.ema:
            average = copy.deepcopy(self.autoencoder).requires_grad_(False).to(accelerator.device)
            self.average = state.networks["average"] = average
        if recipe.adversarial_start is not None:
            critics = state.networks["critics"] = Critics(settings.config.window, settings.config.hop)
            critic_optimizer = torch.optim.Adam(critics.parameters(), recipe.learning_rate, recipe.betas)
            state.optimizers["critic_optimizer"] = critic_optimizer
        weights = {k: v for k, v in recipe.weights.items() if k != "adversarial" or "critics" in state.networks}

        # Where the run was, and then to the devices
        state.resume(settings.folder(accelerator), identity(settings), since=SINCE)
        self.objective, self.optimizer = accelerator.prepare(Objective(self.autoencoder, weights), optimizer)
        if recipe.adversarial_start is not None:
            self.critics, self.critic_optimizer = accelerator.prepare(critics, critic_optimizer)
        super().__init__(
            settings,
            accelerator,
            state,
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
        )
        self.audio, self.mel = validation_audio(settings, validation), mel_bands(2048)

    @property
    def result(self) -> Autoencoder:
        """What is validated and shipped: the averaged weights where there are any."""
        return self.autoencoder if self.average is None else self.average

    def rate(self) -> float:
        """Warm-up, then the recipe's decay.  # Not in the paper: either; its recipe has no decay."""
        warmup = min(100, max(self.steps // 10, 1))
        if self.recipe.cosine:
            return warmed_cosine(self.state.step, steps=self.steps, warmup=warmup)
        return min(1.0, (self.state.step + 1) / warmup)

    def draw(self, step: int) -> list[Crops]:
        """The step's crops, a micro-batch each."""
        return [Crops.draw(self.clips, self.settings, step, indices) for indices in self.micro]

    def trial(self) -> None:
        """Without the critics."""
        crops = Crops.draw(self.clips, self.settings, self.state.step, self.micro[0])
        device, objective = self.accelerator.device, self.accelerator.unwrap_model(self.objective)
        hops = draw_hops(np.random.default_rng(0), self.recipe.resolutions)
        losses = objective(crops.audio.to(device), crops.noise.to(device), hops)[0]
        weighted_sum(losses, self.recipe.weights).backward()

    def learn(self, drawn: list[Crops]) -> tuple[dict[str, Tensor], list[str]]:
        """One step of the autoencoder's optimiser, and then one of the critics'."""
        recipe, accelerator, step = self.recipe, self.accelerator, self.state.step
        hops = draw_hops(step_generator(self.settings.seed, step), recipe.resolutions)
        adversarial = self.critics is not None and step >= (recipe.adversarial_start or 0)
        scalars: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=accelerator.device))

        # L = L_adv + 25 L_rec + 0.002 L_mssd, or what the recipe weighs
        self.optimizer.zero_grad(set_to_none=True)
        pairs = []
        for crops in added_up(drawn, self.objective, accelerator):
            audio, noise = crops.audio.to(accelerator.device), crops.noise.to(accelerator.device)
            losses, decoded = self.objective(audio, noise, hops)
            if adversarial:
                losses["adversarial"] = generator_loss(accelerator.unwrap_model(self.critics)(decoded))
                pairs.append((audio, decoded.detach()))
            total = weighted_sum(losses, recipe.weights)
            accelerator.backward(total / len(drawn))
            for name, value in [("loss", total), *losses.items()]:
                scalars[name] = scalars[name] + value.detach() / len(drawn)
        scalars["gradient_norm"] = accelerator.clip_grad_norm_(self.objective.parameters(), recipe.clip)
        self.optimizer.step()
        if self.average is not None:
            update_average(self.average, self.autoencoder, self.settings.ema, step=step + 1)

        # L_C, on what the autoencoder has just made
        if adversarial and self.critics is not None:
            self.critic_optimizer.zero_grad(set_to_none=True)
            for audio, decoded in added_up(pairs, self.critics, accelerator):
                real, generated = self.critics(torch.cat([audio, decoded])).chunk(2)
                loss = critic_loss(real, generated)
                accelerator.backward(loss / len(pairs))
                scalars["critic"] = scalars["critic"] + loss.detach() / len(pairs)
            self.critic_optimizer.step()
        return dict(scalars), [name for crops in drawn for name in crops.names]

    def row(self, steps: list[dict[str, float]]) -> dict[str, float]:
        """The losses of the last step."""
        return {name: value for name, value in steps[-1].items() if name != "gradient_norm"}

    def measures(self) -> list[tuple[int, Measure]]:
        """What is kept of the validation clips."""
        return [(self.settings.validate_every, self.validate)]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """What the autoencoder keeps of the validation clips; where asked for, with a figure of three of them."""
        model = self.result
        decoded = torch.cat([codec.decode(model, one[None]) for one in codec.encode(model, self.audio)]).cpu()
        if self.settings.figures and self.state.step:
            rows = {model.config.which: list(self.audio[:3].numpy()), "reconstruction": list(decoded[:3].numpy())}
            draw_spectrograms(rows, self.run.path / f"reconstructions-{self.state.step:06d}.png")
        return {name: round(value, 4) for name, value in probe(self.audio, decoded, self.mel).items()}

    def save(self) -> None:
        """Write the checkpoint."""
        self.state.save(self.run, identity(self.settings))


def train(
    settings: TrainAutoencoder, clips: AudioClips, validation: AudioClips, *, accelerator: Accelerator | None = None
) -> Autoencoder:
    """Run or resume training to the end and write weights.safetensors; returns the trained autoencoder.

    Raises BadInputError for an unknown preset, a run folder of another configuration, or a loss that is not finite.
    """
    training = AutoencoderTraining(settings, clips, validation, accelerator)
    state, run, main = training.state, training.run, training.accelerator.is_main_process
    resumed = state.step
    if main and not resumed:
        run.log(event="start", settings=identity(settings), **training.validate())
    training.fit()
    weights = run.path / "weights.safetensors"
    if main and (resumed < state.step or not weights.exists()):
        if training.result.encoder is not None:  # the linear path gives standardised latents by itself
            training.result.standardise(fit_batches(clips, settings))
        training.result.save_pretrained(weights)
        training.autoencoder, training.average = Autoencoder.from_pretrained(weights), None
        run.log(event="end", step=state.step, **training.validate())
    training.accelerator.wait_for_everyone()
    return Autoencoder.from_pretrained(weights)


def dry_run(settings: TrainAutoencoder) -> str:
    """The settings with the preset's recipe filled in, and the sizes of the networks."""
    with torch.device("meta"):
        networks: dict[str, torch.nn.Module] = {"autoencoder": Autoencoder(settings.config)}
        if settings.recipe.adversarial_start is not None:
            networks["critics"] = Critics(settings.config.window, settings.config.hop)
    filled_in = dataclasses.asdict(settings.recipe)
    return describe(settings, networks, **filled_in, autoencoder=settings.config.to_dict())


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        settings = tyro.cli(TrainAutoencoder, description=__doc__)
        check(settings)
        if settings.dry_run:
            print(dry_run(settings))
            return
        with settings.held() as accelerator:
            sources = [
                training_stems(
                    data, settings.which, count=count, families=settings.families, processes=settings.processes
                )
                for data, count in (
                    (settings.data, settings.clips),
                    (settings.validation_data, settings.validation_clips),
                )
            ]
            train(settings, *sources, accelerator=accelerator)


if __name__ == "__main__":
    main()
