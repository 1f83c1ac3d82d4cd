"""What the weights are worth: every target of the reference model with its measured value and 95 % interval.

    python -m experiments.targets

Run it again to go on where it was cut off. Definitions of the codec's measures: `experiments.evaluate_codec`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_cached, embed_keyed
from bassbench.embedders.embedder import DEFAULT_EMBEDDER, protocol
from bassbench.errors import BadInputError, check_limits, exit_on_bad_input
from bassbench.metrics.bootstrap import Interval, mean_interval, statistic_interval
from bassbench.metrics.gaussian import Gaussian
from bassbench.results.rows import Row, RowStore
from bassbench.songs.clips import UNSEEN_FONT, ClipRequest, cached_clip, clip_requests
from bassbench.suite.anchors import OTHER, REAL, derangement
from experiments import evaluate_bass as bass
from experiments import evaluate_codec as codec
from experiments import studies
from experiments.evaluate_bass import OWN, RATIO, Results
from experiments.evaluate_fad import distance, distance_ratio
from experiments.linear_probe import ProbeSong, probe, probe_song
from experiments.target import (
    CHORD_ROOT,
    CHROMA,
    CODEC,
    CODEC_RATIO,
    FAD,
    LINEAR,
    NAME,
    OWN_RATIO,
    PROGRAM,
    write_report,
)
from experiments.timbre import fit_timbre, timbre_protocol
from reference_model.codec import encode
from reference_model.pipeline import BassAccompaniment, Sampling

_TIMBRE_EXAMPLES = 192


@dataclass(frozen=True)
class Evaluate:
    """Print the target table of the reference model's weights; write targets.jsonl, .csv and .md."""

    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    clips: int = 48
    """Test songs; "human", "unseen-font", grounding and the probe's training songs are half as many each."""
    quick: bool = False
    """16 clips, to try it out."""
    steps: int = 64
    """DDIM steps."""
    cfg: float = 2.0
    """Guidance weight."""
    output: Path = Path("results")
    """Folder for the results."""
    batch_size: int = 16
    """Clips sampled at a time; it does not change the result."""
    seed: int = 0
    """Seed of the noise, the pairing, the programs and the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        if self.clips < 8:
            raise BadInputError(f"--clips must be at least 8, got {self.clips}")
        check_limits(self)
        Sampling(steps=self.steps, cfg=self.cfg)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        studies.output_folder(self.output)
        if hasattr(os, "sched_getaffinity"):
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        model = studies.load_model(self.weights, self.device)
        rows = Evaluation(self, model).rows()
        write_report(rows, self.output)


@dataclass(frozen=True)
class Evaluation:
    """The parts of the evaluation of one model, each a task whose rows are on disk before the next begins."""

    config: Evaluate
    model: BassAccompaniment

    @property
    def clips(self) -> int:
        """Test songs."""
        return 16 if self.config.quick else self.config.clips

    @cached_property
    def weights(self) -> str:
        """Hash of the weights."""
        return self.model.version

    @property
    def sampling(self) -> Sampling:
        """How basses are drawn."""
        return Sampling(steps=self.config.steps, cfg=self.config.cfg)

    def rows(self) -> list[Row]:
        """All rows, the missing ones measured."""
        half = max(self.clips // 2, 2)
        test, human = requests_of("test", self.clips), requests_of("human", half)
        splits = {"test": test, "human": human}
        try:
            splits[UNSEEN_FONT] = requests_of(UNSEEN_FONT, half)
        except BadInputError as error:
            print(f"left out: {error}")
        tasks = [self._task(split, songs, self._codec_keys(), self._codec) for split, songs in splits.items()]
        keys = tuple((OWN, metric) for metric in (CHROMA, CHORD_ROOT))
        tasks.append(self._task("test", test, keys, self._probe))
        for split, songs in (("test", test), ("human", human)):
            keys = self._bass_keys() + (((OWN, OWN_RATIO), (OWN, FAD)) if split == "test" else ())
            tasks.append(self._task(split, songs, keys, partial(self._bass, split=split)))
        keys = tuple((system, bass.GROUNDED) for system in (bass.STYLE, bass.CODED_STYLE, OWN))
        keys += ((OWN, bass.GROUNDED + " against style clip"),)
        tasks.append(self._task("test", test[:half], keys, self._grounding))
        store = RowStore(self.config.output / f"{NAME}.jsonl")
        return studies.measure_missing(tasks, store, device=self.model.device.type, what=NAME)

    def _task(
        self,
        split: str,
        requests: Sequence[ClipRequest],
        keys: Sequence[tuple[str, str]],
        measure: Callable[[Sequence[ClipRequest], studies.Advance], Results],
    ) -> studies.Task:
        how: dict[str, Any] = {
            "songs": f"{len(requests)} clips of {split}, {content_hash(*(r.key for r in requests))[:8]}",
            "measures": "bassbench.metrics and experiments.evaluate_codec, version 2",
            "timbre": timbre_protocol(_TIMBRE_EXAMPLES),
            "FAD": protocol(DEFAULT_EMBEDDER),
            "interval": "95 %, bootstrap over songs",
        }
        setting = {"split": split, "weights": self.weights, "steps": self.config.steps, "cfg": self.config.cfg}
        study = studies.Measurements(NAME, len(requests), self.config.seed, how)
        wanted = tuple(one for system, metric in keys for one in study.of(system, setting, (metric,)))

        def run(advance: studies.Advance) -> list[Interval]:
            results = measure(requests, advance)
            return [results[key] for key in keys]

        return studies.Task(wanted, run)

    @property
    def _codecs(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        coder = self.model.bass_autoencoder
        found: dict[str, Callable[[np.ndarray], np.ndarray]] = {CODEC: self.model.codec}
        if coder.linear is not None and coder.config.integrate_phase:
            found[LINEAR] = partial(self.model.codec, network=False)
        return found

    def _codec_keys(self) -> tuple[tuple[str, str], ...]:
        metrics = (*codec.CLIP_MEASURES, codec.ALL_NOTES, FAD, CODEC_RATIO)
        return (*((system, metric) for system in self._codecs for metric in metrics), (PROGRAM, FAD))

    def _codec(self, requests: Sequence[ClipRequest], advance: studies.Advance) -> Results:
        codecs = self._codecs
        values: dict[tuple[str, str], list[float]] = {}
        windows: dict[str, list[Gaussian]] = {name: [] for name in (REAL, PROGRAM, *codecs)}
        kept: dict[str, list[np.ndarray]] = {name: [] for name in codecs}
        for index, request in enumerate(requests):
            clip = cached_clip(request)
            other = codec.other_program(clip, studies.clip_seed(self.config.seed, index))
            windows[REAL].append(self._windows(clip.bass))
            windows[PROGRAM].append(self._windows(codec.played_by(other, clip, request.soundfont)))
            for system, code in codecs.items():
                decoded = code(clip.bass)
                windows[system].append(self._windows(decoded, self._decoded_key(system, request)))
                kept[system].append(codec.notes_kept(clip, decoded))
                for metric, value in codec.codec_measures(clip, decoded).items():
                    values.setdefault((system, metric), []).append(value)
            advance()
        results: Results = {key: self._mean(numbers) for key, numbers in values.items()}
        for system, notes in kept.items():
            results[system, codec.ALL_NOTES] = self._share(notes)
        real = windows[REAL]
        for system in (PROGRAM, *codecs):
            results[system, FAD] = distance(real, windows[system], self._generator(), resample="paired")
            results[system, CODEC_RATIO] = distance_ratio(
                real, windows[system], windows[PROGRAM], self._generator(), resample="paired"
            )
        return results

    def _probe(self, requests: Sequence[ClipRequest], advance: studies.Advance) -> Results:
        half = max(self.clips // 2, 2)
        trained = [*requests_of("validation", half), *requests_of("train", half)]

        def songs(wanted: Sequence[ClipRequest], done: studies.Advance | None) -> list[ProbeSong]:
            found = []
            for request in wanted:
                clip = cached_clip(request)
                if clip.chords:
                    latent = encode(self.model.mix_autoencoder, torch.from_numpy(clip.mix)[None])[0]
                    found.append(probe_song(latent.cpu().numpy(), clip.chords))
                if done:
                    done()
            return found

        found = probe(songs(trained, None), songs(requests, advance), generator=self._generator())
        return {(OWN, CHROMA): found["chroma"], (OWN, CHORD_ROOT): found["root"]}

    def _bass_keys(self) -> tuple[tuple[str, str], ...]:
        measures = (bass.CHORD, bass.SOUNDING, bass.ROOT, bass.CORRELATION, bass.GRID, bass.VOICED, bass.LOUDNESS)
        keys = [(system, metric) for system in (OWN, REAL) for metric in (*measures, bass.COLLAPSED)]
        keys += [(system, metric) for system in (OTHER, bass.SWAPPED) for metric in (bass.CHORD, bass.SOUNDING)]
        statistics = (bass.CHORD + RATIO, bass.ROOT + RATIO, bass.VOICED + RATIO, bass.SWAPPED, bass.LISTENS)
        return (*keys, *((OWN, metric) for metric in statistics))

    def _bass(self, requests: Sequence[ClipRequest], advance: studies.Advance, *, split: str) -> Results:
        config, windows = self.config, []

        def embed(index: int, audio: np.ndarray) -> None:
            if split == "test":
                windows.append(self._windows(audio))

        basses = bass.generated(self.model, requests, self.sampling, seed=config.seed, batch_size=config.batch_size)
        heard = bass.hear(basses, embed, advance)
        results = bass.bass_results(heard, self._partner(len(requests)), config.seed)
        if split == "test":
            reference = [self._windows(cached_clip(request).bass) for request in self._reference(len(requests))]
            ceiling = [self._ceiling(request) for request in requests]
            results[OWN, FAD] = distance(reference, windows, self._generator(), resample="independent")
            results[OWN, OWN_RATIO] = distance_ratio(
                reference, windows, ceiling, self._generator(), resample="independent"
            )
        return results

    def _grounding(self, requests: Sequence[ClipRequest], advance: studies.Advance) -> Results:
        classifier = fit_timbre(_TIMBRE_EXAMPLES, seed=self.config.seed)
        return bass.grounding_results(
            self.model,
            requests,
            self._partner(len(requests)),
            classifier,
            self.sampling,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            advance=advance,
        )

    def _reference(self, count: int) -> list[ClipRequest]:
        """Real bass of test songs that are not evaluated, as many as there are, `count` at most."""
        return requests_of("test", 2 * count)[count:]

    def _ceiling(self, request: ClipRequest) -> Gaussian:
        def decoded() -> np.ndarray:
            return self.model.codec(cached_clip(request).bass)

        key = self._decoded_key(CODEC, request)
        return Gaussian.from_samples(embed_keyed(key, decoded, DEFAULT_EMBEDDER, device=str(self.model.device)))

    def _decoded_key(self, system: str, request: ClipRequest) -> str:
        return content_hash(system, self.weights, request.key)

    def _windows(self, audio: np.ndarray, key: str | None = None) -> Gaussian:
        device = str(self.model.device)
        if key is None:
            return Gaussian.from_samples(embed_cached(audio, DEFAULT_EMBEDDER, device=device))
        return Gaussian.from_samples(embed_keyed(key, lambda: audio, DEFAULT_EMBEDDER, device=device))

    def _partner(self, count: int) -> np.ndarray:
        return derangement(count, generator=self._generator())

    def _mean(self, numbers: Sequence[float]) -> Interval:
        values = np.asarray(numbers)
        return mean_interval(values[~np.isnan(values)], generator=self._generator())

    def _share(self, notes: Sequence[np.ndarray]) -> Interval:
        """Share of the notes of all songs that are True."""

        def share(songs: np.ndarray) -> float:
            drawn = np.concatenate([notes[song] for song in songs])
            return float(drawn.mean()) if len(drawn) else float("nan")

        return statistic_interval(share, len(notes), generator=self._generator())

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.config.seed)


def requests_of(split: str, count: int) -> list[ClipRequest]:
    """`count` songs of a split, or all that there are."""
    return clip_requests(split)[:count]


def main() -> None:
    """Entry point of `python -m experiments.targets`."""
    with exit_on_bad_input():
        tyro.cli(Evaluate, description=__doc__).run()


if __name__ == "__main__":
    main()
