"""What a step of the diffusion training sees: pairs of latents, noise, levels, and whose mix is left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bassbench.training.checkpoint import step_generator
from bassbench.training.loop import example_generator


class PairSource(Protocol):
    """Where training pairs come from; `reference_model.latents.LatentPairs` is one."""

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        """A random pair: its name, latents of the mix `(mix_dims, frames)` and of the bass `(bass_dims, frames)`."""
        ...


@dataclass(frozen=True)
class Batch:
    """Some examples of a step: all randomness of each comes from its own generator."""

    names: list[str]
    mix: Tensor
    """`(batch, mix_dims, frames)`."""
    bass: Tensor
    noise: Tensor
    level: Tensor
    """`(batch,)`."""
    unconditional: Tensor
    """Booleans `(batch,)`: the mix is zeroed."""

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


def draw_levels_and_noise(generator: np.random.Generator, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Levels `(batch,)`, stratified, and noise like `clean`."""
    size = len(clean)
    level = (generator.permutation(size) + generator.random(size)) / size
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    return torch.from_numpy(level).float(), torch.from_numpy(noise)
