"""A U-Net playing for whole medleys; what was heard in a bass is kept in the user's cache: no bass is played twice."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bassbench.cache import cache_folder, content_hash
from bassbench.files import atomic_path, parse_json
from experiments import studies
from experiments.medley import Medleys, Passage
from experiments.studies import matcher_hash
from reference_model.pipeline import BassAccompaniment, Sampling

_VERSION = "2"  # raise it when what is played or heard changes
_SHORTEST_WINDOW = 256


@dataclass(frozen=True)
class MedleyPlayer:
    """The model that `load` gives, known by its `setting`, playing for medleys; the noise of a medley is its own."""

    medleys: Medleys
    load: Callable[[], BassAccompaniment]
    setting: dict[str, Any]
    sampling: Sampling
    seed: int
    batch_frames: int
    """Latent frames sampled at a time."""

    @cached_property
    def model(self) -> BassAccompaniment:
        """The model, loaded or trained when first needed."""
        return self.load()

    def heard(self, system: str, frames: int, advance: Callable[[], object] = lambda: None) -> list[Passage]:
        """The passages of all medleys of a length."""
        starts = self.medleys.starts(frames)
        files = [self._file(system, start, frames) for start in starts]
        found = {index: known for index, file in enumerate(files) if (known := _read(file)) is not None}
        missing = [index for index in range(len(starts)) if index not in found]
        for places in studies.in_batches(len(missing), max(1, self.batch_frames // frames)):
            batch = [missing[place] for place in places]
            for index, bass in zip(batch, self._play([starts[i] for i in batch], batch, frames), strict=True):
                found[index] = self.medleys.hear(starts[index], bass)
                _keep(files[index], found[index])
                advance()
        return [passage for index in range(len(starts)) for passage in found[index]]

    def _play(self, starts: Sequence[int], indices: Sequence[int], frames: int) -> Iterator[np.ndarray]:
        mixes = self.medleys.mixes(starts, frames)
        latents = self.model.generate_latents(
            mixes.latent,
            seeds=[studies.clip_seed(self.seed, index) for index in indices],
            sampling=self._whole(frames),
        )
        for place in range(len(starts)):  # one at a time: minutes of audio
            yield self.model.decode(latents[[place]], mixes[[place]]).audio[0]

    def _whole(self, frames: int) -> Sampling:
        """The sampling, but that the U-Net sees a medley of this length at once."""
        return replace(self.sampling, window=max(frames, _SHORTEST_WINDOW))

    def _file(self, system: str, start: int, frames: int) -> Path:
        how = [_VERSION, system, self.setting, asdict(self._whole(frames)), start, frames, self.seed]
        songs = [request.key for request in self.medleys.requests]
        about = json.dumps([*how, self.medleys.passage, matcher_hash(self.medleys.matcher)])
        return cache_folder("passages") / f"{content_hash(about, *songs)}.json"


def _read(path: Path) -> list[Passage] | None:
    try:
        return [Passage(**values) for values in parse_json(path.read_text())]
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, heard: Sequence[Passage]) -> None:
    with contextlib.suppress(OSError), atomic_path(path) as temporary:
        temporary.write_text(json.dumps([asdict(passage) for passage in heard]))
