"""What the weights are worth: every target of the reference model with its measured value and 95 % interval.

    python -m experiments.targets

Run it again to go on where it was cut off. Definitions of the codec's measures: `experiments.evaluate_codec`.
"""

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro

from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_cached, embed_keyed
from bassbench.embedders.registry import DEFAULT_EMBEDDER, protocol
from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.files import write_text
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics import harmony, level, rhythm
from bassbench.metrics.fad import FewWindowsWarning, Resample, fad, frechet_distance
from bassbench.metrics.gate import gate
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.metric import Scored
from bassbench.metrics.statistics import Interval, mean_interval, resampled, shifted_interval, statistic_interval
from bassbench.results.rows import Row, RowStore, write_csv
from bassbench.results.table import interval_text, markdown, terminal
from bassbench.songs.arrangement import BASS_PROGRAMS, Note
from bassbench.songs.clips import UNSEEN_FONT, ClipRequest, cached_clip, clip_requests
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Chord
from bassbench.suite.anchors import OTHER, REAL, derangement
from experiments import evaluate_codec as codec
from experiments import studies
from experiments.evaluate_codec import ProbeSong, probe, probe_song
from experiments.perturbations import played_by
from experiments.playing import generated
from experiments.studies import Advance, clip_seed, in_batches
from experiments.timbre import EMBEDDER as TIMBRE_EMBEDDER
from experiments.timbre import fit_timbre, timbre_protocol
from reference_model.codec import encode
from reference_model.pipeline import BassAccompaniment, Sampling


def distance(
    reference: list[Gaussian],
    songs: list[Gaussian],
    generator: np.random.Generator,
    *,
    resample: Resample,
    replicates: int,
) -> Interval:
    """FAD with its interval; of few windows it is said nothing, since it stands beside FADs of as many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)
        found = fad(reference, songs, generator=generator, replicates=replicates, resample=resample)
    return Interval(found.value, found.low, found.high)


def distance_ratio(
    reference: list[Gaussian],
    songs: list[Gaussian],
    others: list[Gaussian],
    generator: np.random.Generator,
    *,
    resample: Resample,
    replicates: int,
) -> Interval:
    """The FAD of `songs` over that of `others`, both from `reference`; song i of both is drawn together."""

    def ratio(drawn: np.ndarray | None, times: np.ndarray | None) -> float:
        real = Gaussian.pooled(reference, drawn)
        over, under = (frechet_distance(real, Gaussian.pooled(side, times)) for side in (songs, others))
        return over / under if under else float("nan")

    def replicate() -> float:
        times = resampled(len(songs), generator)
        return ratio(times if resample == "paired" else resampled(len(reference), generator), times)

    value = ratio(None, None)
    low, high, _ = shifted_interval(value, replicate, replicates, possible=min(len(songs), len(reference)) > 1)
    return Interval(value, low, high)


OWN, SWAPPED = "reference model", "reference model, mixes swapped"
CHORD, SOUNDING, COLLAPSED = "chord-tone share", "share sounding in the mix", "collapsed clips"
LISTENS = "sounding share against real bass and other song"
ROOT, CORRELATION, GRID, VOICED = "root on downbeats", "onset correlation", "onsets on the grid", "voiced share"
LOUDNESS = "loudness against the real bass"
_FROM_AUDIO = (ROOT, CORRELATION, GRID, VOICED, LOUDNESS)
RATIO = " against real"
GROUNDED, STYLE, CODED_STYLE = "program identified", "style clip", "style clip through the codec"
_MEASURES = {one.name: one for module in (harmony, rhythm, level) for one in module.METRICS}
Results = dict[tuple[str, str], Interval]
"""Intervals by (system, metric)."""


@dataclass
class MeasuredBasses:
    """Per clip: the truth and pitch of the real and the generated bass, and their numbers by (system, metric)."""

    chords: list[tuple[Chord, ...]] = field(default_factory=list)
    notes: list[tuple[Note, ...]] = field(default_factory=list)
    real: list[PitchTrack] = field(default_factory=list)
    own: list[PitchTrack] = field(default_factory=list)
    values: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))


def hear(basses: Iterator[Scored], use: Callable[[int, np.ndarray], object], advance: Advance) -> MeasuredBasses:
    """Measure each bass and the real one; `use` is given the index and the audio besides."""
    heard = MeasuredBasses()
    for index, scored in enumerate(basses):
        clip = scored.clip
        use(index, scored.bass)
        heard.chords.append(clip.chords)
        heard.notes.append(clip.mix_notes)
        heard.real.append(bass_pitch(clip.bass))
        heard.own.append(bass_pitch(scored.bass))
        for system, side in ((REAL, Scored(clip, clip.bass)), (OWN, scored)):
            for name in _FROM_AUDIO:
                heard.values[system, name].append(_MEASURES[name].measure(side))
            failed = not gate(side.bass, reference=clip.bass).passed
            heard.values[system, COLLAPSED].append(float(failed))
        advance()
    return heard


def bass_results(heard: MeasuredBasses, partner: np.ndarray, seed: int, *, resamples: int) -> Results:
    """All intervals over songs; song i is also given the bass of song `partner[i]`, real and generated."""
    count = len(heard.own)
    playing = {
        REAL: heard.real,
        OWN: heard.own,
        OTHER: [heard.real[other] for other in partner],
        SWAPPED: [heard.own[other] for other in partner],
    }
    values = {key: np.array(numbers) for key, numbers in heard.values.items()}
    for system, tracks in playing.items():
        # A bass without a pitch plays no chord tone: 0, not left out.
        values[system, CHORD] = np.array([_chord_share(t, c) for t, c in zip(tracks, heard.chords, strict=True)])
        sounding = [harmony.sounding_share(t, n) for t, n in zip(tracks, heard.notes, strict=True)]
        values[system, SOUNDING] = np.nan_to_num(np.array(sounding))
    values[OWN, CORRELATION] = np.nan_to_num(values[OWN, CORRELATION])
    results: Results = {
        key: mean_interval(numbers[~np.isnan(numbers)], generator=np.random.default_rng(seed))
        for key, numbers in values.items()
    }
    for system in (OWN, REAL):
        results[system, COLLAPSED] = Interval(float(values[system, COLLAPSED].sum()), float("nan"), float("nan"))

    def ratio(metric: str) -> Callable[[np.ndarray], float]:
        ours, real = values[OWN, metric], values[REAL, metric]
        both = ~(np.isnan(ours) | np.isnan(real))
        return lambda drawn: _divided(ours[drawn][both[drawn]].sum(), real[drawn][both[drawn]].sum())

    def difference(drawn: np.ndarray) -> float:
        return float(np.mean(values[SWAPPED, CHORD][drawn] - values[OTHER, CHORD][drawn]))

    def listens(drawn: np.ndarray) -> float:
        own, other, real = (values[system, SOUNDING][drawn].mean() for system in (OWN, OTHER, REAL))
        return _divided(own - other, real - other)

    statistics = {metric + RATIO: ratio(metric) for metric in (CHORD, ROOT, VOICED)}
    for name, statistic in {**statistics, SWAPPED: difference, LISTENS: listens}.items():
        generator = np.random.default_rng(seed)
        results[OWN, name] = statistic_interval(statistic, count, generator=generator, resamples=resamples)
    return results


def _another_program(clip: Clip, seed: int) -> int:
    others = [program for program in BASS_PROGRAMS if program != clip.bass_program]
    return int(np.random.default_rng([seed, 0x960]).choice(others))


def _chord_share(track: PitchTrack, chords: Sequence[Chord]) -> float:
    return float(np.nan_to_num(harmony.chord_tone_share(track, chords))) if chords else float("nan")


def _divided(over: float, under: float) -> float:
    return float(over / under) if under else float("nan")


NAME = "targets"
CODEC, LINEAR, PROGRAM = "bass autoencoder", "its linear path alone", "bass by another program"
FAD, CODEC_RATIO, OWN_RATIO = "FAD", "FAD against another program's", "FAD against the codec ceiling's"
CHROMA, CHORD_ROOT = "chroma AUC of mix latents", "chord root accuracy of mix latents"


@dataclass(frozen=True)
class Target:
    """What is asked of one number: the row it is in, and the values that meet it."""

    metric: str
    system: str
    asked: str
    met: Callable[[float], bool] | None
    splits: tuple[str, ...] = ("test", "human")
    """Where it is shown; it is asked on the test split, `LISTENS` on "human"."""
    beside: tuple[str, ...] = ()
    """Systems whose number of the same metric stands beside."""


_CODEC_SPLITS = ("test", "human", UNSEEN_FONT)


def _codec(metric: str, asked: str = "-", met: Callable[[float], bool] | None = None) -> Target:
    return Target(metric, CODEC, asked, met, _CODEC_SPLITS, (LINEAR,))


def _bass(metric: str, asked: str = "-", met: Callable[[float], bool] | None = None) -> Target:
    return Target(metric, OWN, asked, met, beside=(REAL, OTHER))


TARGETS = (
    _codec(codec.ALL_NOTES, ">= 0.97", lambda value: value >= 0.97),
    _codec(codec.NOTES),
    _codec(codec.LEVEL, "<= 1 dB", lambda value: value <= 1),
    _codec(codec.LSD, "<= 2.5 dB", lambda value: value <= 2.5),
    _codec(codec.STFT),
    _codec(codec.MEL),
    _codec(codec.SDR),
    _codec(codec.WIDTH),
    Target(FAD, CODEC, "-", None, _CODEC_SPLITS, (LINEAR, PROGRAM)),
    _codec(CODEC_RATIO, "<= 0.25", lambda value: value <= 0.25),
    Target(CHROMA, OWN, ">= 0.97", lambda value: value >= 0.97, ("test",)),
    Target(CHORD_ROOT, OWN, ">= 0.85", lambda value: value >= 0.85, ("test",)),
    _bass(CHORD + RATIO, ">= 0.97", lambda value: value >= 0.97),
    Target(CHORD, OWN, "-", None, beside=(REAL, OTHER, SWAPPED)),
    Target(SWAPPED, OWN, "within 0.05", lambda value: abs(value) <= 0.05),
    _bass(ROOT + RATIO, ">= 0.9", lambda value: value >= 0.9),
    _bass(CORRELATION, ">= 0.45", lambda value: value >= 0.45),
    _bass(GRID, ">= 0.8", lambda value: value >= 0.8),
    _bass(VOICED + RATIO, "0.8 to 1.2", lambda value: 0.8 <= value <= 1.2),
    _bass(LOUDNESS, "within 3 dB", lambda value: abs(value) <= 3),
    _bass(COLLAPSED, "0", lambda value: value == 0),
    _bass(LISTENS, ">= 0.8", lambda value: value >= 0.8),
    Target(SOUNDING, OWN, "-", None, beside=(REAL, OTHER, SWAPPED)),
    Target(GROUNDED + " against style clip", OWN, ">= 0.8", lambda value: value >= 0.8, ("test",)),
    Target(GROUNDED, OWN, "-", None, ("test",), (STYLE, CODED_STYLE)),
    Target(OWN_RATIO, OWN, "<= 1.5", lambda value: value <= 1.5, ("test",)),
)


def target_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a target and split: what is asked, what was measured, whether it is met, and what stands beside it."""
    found = {(row.setting["split"], row.system, row.metric): row for row in rows}
    lines = []
    for target in TARGETS:
        for split in target.splits:
            row = found.get((split, target.system, target.metric))
            if row is None or np.isnan(row.value):
                continue
            beside = [(name, found.get((split, name, target.metric))) for name in target.beside]
            asked = split == ("human" if target.metric == LISTENS else "test")
            met = ("yes" if target.met(row.value) else "NO") if target.met and asked else ""
            lines.append(
                {
                    "target": target.metric,
                    "split": split,
                    "asked": target.asked if asked else "-",
                    "measured": interval_text(row.value, row.low, row.high),
                    "met": met,
                    "beside": "; ".join(f"{name} {interval_text(r.value, np.nan, np.nan)}" for name, r in beside if r),
                    "clips": str(row.clips),
                }
            )
    return pd.DataFrame(lines)


def write_report(rows: Sequence[Row], folder: Path) -> None:
    """Print the table; write it as targets.md with the protocol card, and the rows as targets.csv.

    Raises:
        BadInputError: a file cannot be written.
    """
    frame = target_table(rows)
    title = "Targets of the reference model"
    print(f"\n{title}\n\n{terminal(frame)}\n")
    text = f"# {title}\n\n{markdown(frame)}\n{codec.__doc__}\n{studies.protocol_card(rows)}"
    write_text(folder / f"{NAME}.md", text)
    write_csv(rows, folder / f"{NAME}.csv")


@dataclass(frozen=True, kw_only=True)
class Evaluate(studies.BatchSettings):
    """Print the target table of the reference model's weights; write targets.jsonl, .csv and .md."""

    clips: int = 48
    """Test songs; "human", "unseen-font", grounding and the probe's training songs are half as many each."""
    quick: bool = False
    """16 clips, to try it out."""
    steps: int = 64
    """DDIM steps."""
    cfg: float = 2.0
    """Guidance weight."""
    batch_size: int = 16
    """Clips sampled at a time; it does not change the result."""
    timbre_examples: int = 192
    """Real basses that the classifier of the eight programs is fitted on."""
    replicates: int = 100
    """Of the intervals of FAD."""
    resamples: int = 1000
    """Of the intervals of ratios of basses."""
    probe_resamples: int = 200
    """Of the intervals of what is read in latents."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        if self.clips < 8:
            raise BadInputError(f"--clips must be at least 8, got {self.clips}")
        super().validate()
        Sampling(steps=self.steps, cfg=self.cfg)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        if hasattr(os, "sched_getaffinity"):
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        write_report(Evaluation(self, self.model()).rows(), self.output)


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
        keys = tuple((system, GROUNDED) for system in (STYLE, CODED_STYLE, OWN))
        keys += ((OWN, GROUNDED + " against style clip"),)
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
            "songs": f"{len(requests)} clips of {split}, {studies.clips_hash(requests)}",
            "measures": "bassbench.metrics and experiments.evaluate_codec, version 2",
            "timbre": timbre_protocol(self.config.timbre_examples),
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
            other = _another_program(clip, studies.clip_seed(self.config.seed, index))
            windows[REAL].append(self._windows(clip.bass))
            windows[PROGRAM].append(self._windows(played_by(other, clip, request.soundfont)))
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
            found = self._distances(real, windows[system], windows[PROGRAM], "paired")
            results[system, FAD], results[system, CODEC_RATIO] = found
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

        found = probe(
            songs(trained, None),
            songs(requests, advance),
            generator=self._generator(),
            resamples=self.config.probe_resamples,
        )
        return {(OWN, CHROMA): found["chroma"], (OWN, CHORD_ROOT): found["root"]}

    def _bass_keys(self) -> tuple[tuple[str, str], ...]:
        measures = (CHORD, SOUNDING, ROOT, CORRELATION, GRID, VOICED, LOUDNESS)
        keys = [(system, metric) for system in (OWN, REAL) for metric in (*measures, COLLAPSED)]
        keys += [(system, metric) for system in (OTHER, SWAPPED) for metric in (CHORD, SOUNDING)]
        statistics = (CHORD + RATIO, ROOT + RATIO, VOICED + RATIO, SWAPPED, LISTENS)
        return (*keys, *((OWN, metric) for metric in statistics))

    def _bass(self, requests: Sequence[ClipRequest], advance: studies.Advance, *, split: str) -> Results:
        config, windows = self.config, []

        def embed(index: int, audio: np.ndarray) -> None:
            if split == "test":
                windows.append(self._windows(audio))

        basses = generated(self.model, requests, self.sampling, seed=config.seed, batch_size=config.batch_size)
        heard = hear(basses, embed, advance)
        results = bass_results(heard, self._partner(len(requests)), config.seed, resamples=config.resamples)
        if split == "test":
            reference = [self._windows(cached_clip(request).bass) for request in self._reference(len(requests))]
            ceiling = [self._ceiling(request) for request in requests]
            found = self._distances(reference, windows, ceiling, "independent")
            results[OWN, FAD], results[OWN, OWN_RATIO] = found
        return results

    def _grounding(self, requests: Sequence[ClipRequest], advance: studies.Advance) -> Results:
        """How often the style's program is identified, on the style, on what the codec makes of it, and on the bass.

        A style is another song's bass, played by a random program.
        """
        seed, partner = self.config.seed, self._partner(len(requests))
        classifier = fit_timbre(self.config.timbre_examples, seed=seed)
        programs = np.random.default_rng([seed, 0x57]).choice(BASS_PROGRAMS, len(requests))
        right: defaultdict[str, list[float]] = defaultdict(list)
        for batch in in_batches(len(requests), self.config.batch_size):
            mixes = np.stack([cached_clip(requests[index]).mix for index in batch])
            styles = [played_by(int(programs[i]), cached_clip(requests[partner[i]])) for i in batch]
            seeds = [clip_seed(seed, index) for index in batch]
            basses = self.model.accompany(mixes, style=np.stack(styles), seeds=seeds, sampling=self.sampling)
            for index, style, bass in zip(batch, styles, basses, strict=True):
                for name, audio in ((STYLE, style), (CODED_STYLE, self.model.codec(style)), (OWN, bass)):
                    guess = classifier.identify(embed_cached(audio, TIMBRE_EMBEDDER))
                    right[name].append(float(guess == programs[index]))
                advance()
        results = {(name, GROUNDED): self._mean(found) for name, found in right.items()}
        style, own = np.array(right[STYLE]), np.array(right[OWN])
        results[OWN, GROUNDED + " against style clip"] = statistic_interval(
            lambda drawn: _divided(own[drawn].sum(), style[drawn].sum()),
            len(own),
            generator=self._generator(),
            resamples=self.config.resamples,
        )
        return results

    def _distances(
        self, reference: list[Gaussian], songs: list[Gaussian], others: list[Gaussian], resample: Resample
    ) -> tuple[Interval, Interval]:
        """FAD of the songs, and that over the others' FAD."""
        replicates = self.config.replicates
        return (
            distance(reference, songs, self._generator(), resample=resample, replicates=replicates),
            distance_ratio(reference, songs, others, self._generator(), resample=resample, replicates=replicates),
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
        return Gaussian.from_samples(embed_keyed(key, lambda: audio, DEFAULT_EMBEDDER, device=str(self.model.device)))

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
