"""FAD of unconditional samples against the number of DDIM steps (paper, section 4, first figure).

    python -m experiments.ddim_steps

The reference is the real bass of the first songs of the test split; every evaluated set holds equally many clips:
samples of the model, or, for the anchors, what can be made of the bass of the songs that follow. So "real bass" is
real bass of other songs, the value that a perfect generator reaches, and every value has the same small-sample bias.
The samples of all numbers of steps start from the same noise. Run it again to go on where it was cut off.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from tqdm import tqdm

from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.baselines import CODEC, REAL, Anchor, anchors, derangement
from bassbench.bootstrap import Interval, mean_interval
from bassbench.datasets import ClipRequest, cached_clip, clip_requests
from bassbench.embed import EMBEDDERS, protocol
from bassbench.embedding_cache import embed_cached
from bassbench.fad import FewWindowsWarning, fad, fad_infinity
from bassbench.figure import curve_figure
from bassbench.files import content_hash
from bassbench.gate import gate
from bassbench.render import CLIP_SAMPLES
from bassbench.rows import Measurement, Row, RowStore
from reference_model import studies
from reference_model.config import R_TIME
from reference_model.pipeline import BassAccompaniment, Sampling

NAME = "ddim_steps"
SYSTEM = "reference model, unconditional"
FAD, LIMIT, GATE = "FAD", "FAD-infinity", "passes the gate"
_REPLICATES = 400
_IN_FIGURE = (REAL, CODEC, "silence", "noise")
_NOTES = """
Lower is better. The Fréchet distance of finite sets is biased upwards, by the same amount in every line where sets
are alike: compare with "real bass", which are other songs than the reference's. FAD-infinity extrapolates to infinitely
many songs, where real bass is at zero. A set has no pairing, so neither can tell "bass of another song" from "real
bass". The gate looks for silence, clipping, offsets and stuck notes. Brackets: 95 % confidence interval, bootstrap over
songs.
"""


@dataclass(frozen=True)
class DDIMSteps:
    """FAD of unconditional samples against the number of DDIM steps, with anchors.

    Writes ddim_steps.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    clips: int = 48
    """Clips in each evaluated set."""
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Numbers of DDIM steps."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    embedder: Annotated[str, tyro.conf.arg(metavar="|".join(EMBEDDERS))] = "musicnn"
    """What FAD is computed on."""
    output: Path = Path("results")
    """Folder for the results."""
    reference_clips: int = 96
    """Clips of real bass in the reference."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    batch_size: int = 16
    """Clips sampled at a time; it does not change the result."""
    seed: int = 0
    """Seed of the noise, the anchors and the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        if self.clips < 4 or self.reference_clips < 4:
            raise BadInputError("FAD with an interval over songs takes at least 4 in --clips and in --reference-clips")
        if not self.steps or min(self.steps) < 1 or len(set(self.steps)) != len(self.steps):
            raise BadInputError(f"--steps takes different whole numbers from 1, got {' '.join(map(str, self.steps))}")
        if self.batch_size < 1 or self.seed < 0:
            raise BadInputError("--batch-size must be at least 1 and --seed at least 0")
        if self.embedder not in EMBEDDERS:
            raise BadInputError(f"no embedder '{self.embedder}'; choose from {', '.join(EMBEDDERS)}")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        songs = clip_requests("test")
        if self.clips + self.reference_clips > len(songs):
            raise BadInputError(
                f"the test split has {len(songs)} songs, too few for {self.reference_clips} reference clips and "
                f"{self.clips} others; lower --clips or --reference-clips"
            )
        studies.output_folder(self.output)
        model = studies.load_model(self.weights, self.device)
        rows = study(self, model, songs[: self.reference_clips + self.clips])
        write_report(rows, self.output)


@dataclass(frozen=True)
class Fidelity:
    """Scores sets of clips against the real bass of `reference`, whose embeddings are made when first needed."""

    reference: tuple[ClipRequest, ...]
    embedder: str
    device: str
    seed: int

    @cached_property
    def _reference_embeddings(self) -> list[np.ndarray]:
        requests = tqdm(self.reference, "reference", unit="clip", leave=False)
        return [self._embed(cached_clip(request).bass) for request in requests]

    def score(self, clips: Iterable[np.ndarray], advance: studies.Advance) -> tuple[Interval, Interval, Interval]:
        """FAD, FAD-infinity, and the share of the clips `(2, samples)` that pass the gate."""
        reference = self._reference_embeddings
        embeddings, passed = [], []
        for audio in clips:
            embeddings.append(self._embed(audio))
            passed.append(float(gate(audio).passed))
            advance()
        with warnings.catch_warnings():
            # Small runs are for trying out; all rows are measured at equal counts, as the warning advises.
            warnings.simplefilter("ignore", FewWindowsWarning)
            distance = fad(reference, embeddings, generator=self._generator(), replicates=_REPLICATES)
            limit = fad_infinity(reference, embeddings, generator=self._generator())
        share = mean_interval(passed, generator=self._generator())
        return Interval(distance.value, distance.low, distance.high), Interval(limit.value, np.nan, np.nan), share

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        return embed_cached(audio, self.embedder, device=self.device)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def study(config: DDIMSteps, model: BassAccompaniment, requests: list[ClipRequest]) -> list[Row]:
    """All rows of the study, the missing ones measured: anchors first, then each number of steps."""
    reference, evaluated = requests[: config.reference_clips], requests[config.reference_clips :]
    fidelity = Fidelity(tuple(reference), config.embedder, str(model.device), config.seed)
    how = {
        "FAD": protocol(config.embedder),
        "reference": f"{len(reference)} clips of real bass, {content_hash(*(r.key for r in reference))[:8]}",
        "evaluated": f"{len(evaluated)} clips, the anchors' of other songs, "
        f"{content_hash(*(r.key for r in evaluated))[:8]}",
        "interval": f"95 %, bootstrap over songs of both sets, {_REPLICATES} replicates",
    }
    weights: dict[str, Any] = {"weights": studies.weights_hash(model)}
    length = requests[0].samples or CLIP_SAMPLES

    def task(system: str, setting: dict, clips: Callable[[], Iterable[np.ndarray]]) -> studies.Task:
        wanted = tuple(
            Measurement(
                experiment=NAME,
                system=system,
                setting=setting,
                metric=metric,
                clips=len(evaluated),
                seed=config.seed,
                protocol=how,
            )
            for metric in (FAD, LIMIT, GATE)
        )
        return studies.Task(wanted, lambda advance: fidelity.score(clips(), advance))

    tasks = []
    for name, anchor in anchors(studies.codec(model)).items():
        setting = weights if name == CODEC else {}
        tasks.append(task(name, setting, partial(anchor_clips, anchor, evaluated, config.seed)))
    for steps in config.steps:
        tasks.append(task(SYSTEM, {"steps": steps, **weights}, partial(samples, config, model, steps, length)))
    store = RowStore(config.output / f"{NAME}.jsonl")
    return studies.measure_missing(tasks, store, device=model.device.type, what=NAME)


def anchor_clips(anchor: Anchor, requests: list[ClipRequest], seed: int) -> Iterator[np.ndarray]:
    """The anchor's bass for each clip."""
    partner = derangement(len(requests), generator=np.random.default_rng(seed))
    for index, request in enumerate(requests):
        yield anchor(cached_clip(request), cached_clip(requests[partner[index]]), studies.clip_seed(seed, index))


def samples(config: DDIMSteps, model: BassAccompaniment, steps: int, length: int) -> Iterator[np.ndarray]:
    """Unconditional samples `(2, length)`; the noise of a clip is the same for all numbers of steps."""
    for batch in studies.in_batches(config.clips, config.batch_size):
        no_mix = torch.zeros(len(batch), model.unet.config.mix_dims, -(-length // R_TIME))
        seeds = [studies.clip_seed(config.seed, index) for index in batch]
        latent = model.generate_latents(no_mix, seeds=seeds, sampling=Sampling(steps=steps, cfg=0.0))
        yield from model.decode(latent, length)


def write_report(rows: list[Row], folder: Path) -> None:
    """Print the table; write the .csv, .md and .png."""
    distances = [row for row in rows if row.metric == FAD]
    embedder = rows[0].protocol["FAD"].get("embedder", "")
    curve_figure(
        folder / f"{NAME}.png",
        [row for row in distances if "steps" in row.setting],
        across="steps",
        anchors=[row for row in distances if row.system in _IN_FIGURE],
        title="FAD against DDIM steps",
        x_label="DDIM steps",
        y_label=f"FAD ({embedder}, lower is better)",
    )
    title = "FAD of unconditional samples against DDIM steps"
    studies.report(rows, folder, NAME, title=title, settings=["steps"], notes=_NOTES)


def main() -> None:
    """Entry point of `python -m experiments.ddim_steps`."""
    with exit_on_bad_input():
        tyro.cli(DDIMSteps, description=__doc__).run()


if __name__ == "__main__":
    main()
