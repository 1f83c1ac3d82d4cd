"""Crops of audio for training an autoencoder: all randomness of each is a function of (seed, step, example)."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bassbench.training.checkpoint import step_generator
from bassbench.training.loop import example_generator
from reference_model.autoencoder_settings import TrainAutoencoder
from reference_model.presets import R_TIME, AutoencoderConfig


class AudioClips(Protocol):
    """Where crops come from: `clips[i]` is int16 or float `(2, samples)`, possibly on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


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


def draw_batch(
    clips: AudioClips, settings: TrainAutoencoder, config: AutoencoderConfig, step: int, indices: Sequence[int]
) -> tuple[list[str], Tensor, Tensor]:
    """The examples `indices` of a step: names, audio `(batch, 2, samples)`, latent noise `(batch, frames, dims)`."""
    recipe = settings.recipe
    names, audio, noise = [], [], []
    for index in indices:
        generator = example_generator(settings.seed, step, index)
        name, piece = crop(clips, generator, settings.crop_frames * R_TIME)
        names.append(name)
        audio.append(piece * np.float32(10 ** (generator.uniform(-1, 1) * recipe.gain_db / 20)))
        shape = settings.crop_frames, config.dims
        noise.append(np.float32(recipe.latent_noise) * generator.standard_normal(shape, dtype=np.float32))
    return names, torch.from_numpy(np.stack(audio)), torch.from_numpy(np.stack(noise))


def validation_audio(settings: TrainAutoencoder, clips: AudioClips) -> Tensor:
    """The first 12 s or so of each validation clip, `(clips, 2, samples)`."""
    samples = 128 * R_TIME if settings.preset != "tiny" else settings.crop_frames * R_TIME
    chosen = (clips[index][:, :samples] for index in range(min(len(clips), settings.validation_clips)))
    pieces = [crop([clip], np.random.default_rng(0), samples)[1] for clip in chosen]
    return torch.from_numpy(np.stack(pieces))
