"""The model playing for test mixes, always from the same noise, in batches and by the clock."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch import Tensor

from bassbench.cache import content_hash
from bassbench.songs.clips import ClipRequest, cached_clip
from experiments import studies
from reference_model.pipeline import BassAccompaniment, EncodedMix, Sampling

_VERSION = "2"  # raise it when what the model plays for given weights, seed and sampling changes


class Take(NamedTuple):
    """The bass for one clip."""

    audio: np.ndarray
    """`(2, samples)`."""
    excess: float
    """By what factor it was turned down to stay within full scale; 1 where it was not."""


@dataclass(frozen=True)
class Player:
    """The model playing for the mixes of `requests`; the noise of a clip is the same whatever the setting."""

    model: BassAccompaniment
    requests: tuple[ClipRequest, ...]
    seed: int
    batch_size: int

    @cached_property
    def weights(self) -> str:
        """Hash of the model's weights."""
        return self.model.version

    def key(self, index: int, sampling: Sampling, style: str = "") -> str:
        """Hash of everything that the bass for clip `index` depends on."""
        drawn = asdict(sampling)
        del drawn["notes_weight"]  # no notes are asked for here
        how = [_VERSION, self.weights, studies.clip_seed(self.seed, index), drawn, style]
        return content_hash(json.dumps([*how, self.model.bfloat16, self.model.device.type]), self.requests[index].key)

    def latents(self, indices: Sequence[int], sampling: Sampling, styles: Tensor | None = None) -> Tensor:
        """Bass latents `(indices, dims, frames)`; `styles` `(clips, dims)` are style means of all clips."""
        chosen = list(indices)
        return self.model.generate_latents(
            self._mixes[chosen].latent,
            seeds=[studies.clip_seed(self.seed, index) for index in chosen],
            style_mean=None if styles is None else styles[chosen],
            sampling=sampling,
        )

    def decode(self, indices: Sequence[int], latents: Tensor) -> list[Take]:
        """The basses of latents `(indices, dims, frames)`, as loud as their mixes ask for, within full scale."""
        basses = self.model.decode(latents, self._mixes[list(indices)])
        return [Take(audio, float(excess)) for audio, excess in zip(*basses, strict=True)]

    def basses(
        self, sampling: Sampling, styles: Tensor | None = None, *, of: Sequence[int] | None = None
    ) -> Iterator[Take]:
        """The bass for each clip (or those whose indices are `of`), in order, a batch at a time."""
        chosen = range(len(self.requests)) if of is None else of
        for places in studies.in_batches(len(chosen), self.batch_size):
            batch = [chosen[place] for place in places]
            began = time.perf_counter()
            latents = self.latents(batch, sampling, styles).cpu()  # waits for the device
            self._clock.setdefault(sampling, []).append((time.perf_counter() - began, len(batch)))
            yield from self.decode(batch, latents.to(self.model.device))

    def seconds_a_clip(self, sampling: Sampling) -> float:
        """Time that sampling took for each clip that was played so far; where none was, a batch is played for it."""
        if sampling not in self._clock:
            first = range(min(self.batch_size, len(self.requests)))
            self.latents(first, Sampling(steps=1, cfg=sampling.cfg))  # what is done once is not the sampler's
            next(self.basses(sampling, of=first))
        seconds, clips = (sum(part) for part in zip(*self._clock[sampling], strict=True))
        return seconds / clips

    @cached_property
    def _clock(self) -> dict[Sampling, list[tuple[float, int]]]:
        return {}

    def bass(self, index: int, sampling: Sampling) -> np.ndarray:
        """The bass `(2, samples)` for one clip."""
        return self.decode([index], self.latents([index], sampling))[0].audio

    @cached_property
    def _mixes(self) -> EncodedMix:
        return EncodedMix.joined([self.model.encode_mix(cached_clip(request).mix[None]) for request in self.requests])
