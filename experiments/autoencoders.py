"""What is lost on the way through the autoencoders, and what any spectral distance overlooks.

    python -m experiments.autoencoders

Mix and bass of test songs, given back by both autoencoders, by plain PCA of the same rate and dims, and from true
magnitudes with random phase and with Griffin-Lim. And the bass detuned by 0 to 100 cents, played again from its notes
with a pitch bend: how far the spectral distance moves, and how many notes keep their pitch. Run it again to go on where
it was cut off.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bassbench.audio import fit_length, loudness, loudness_normalise
from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.bootstrap import Interval, mean_interval
from bassbench.datasets import ClipRequest, cached_clip, clip_requests
from bassbench.embed import DEFAULT_EMBEDDER, protocol
from bassbench.embedding_cache import embed_cached
from bassbench.fad import fad
from bassbench.files import content_hash
from bassbench.metrics.harmony import chord_tone_share
from bassbench.pitch import bass_pitch
from bassbench.pretrained import find_device
from bassbench.render import Clip, bass_part, render_parts
from bassbench.rows import Measurement, Row, RowStore
from experiments import sizes
from experiments.panels import headline, panels
from experiments.reconstructions import AUTOENCODER, GRIFFIN_LIM, PCA, RANDOM, Reconstruct, reconstructions
from reference_model import studies
from reference_model.evaluate_codec import CLIP_MEASURES, LSD, NOTES, SDR, codec_measures
from reference_model.pipeline import BassAccompaniment

NAME = "autoencoders"
ORIGINAL, DETUNED = "original", "detuned bass"
HARMONY, FAD = "chord-tone share", "FAD"
METRICS = (*CLIP_MEASURES, HARMONY, FAD)
_REPLICATES = 200
_NOTES = """
The definitions stand in `reference_model.evaluate_codec`. Mixes have no notes to keep and no chord-tone share. FAD is
between the audio and what was made of it, over the same songs. "PCA" has the rate and dims of the autoencoder and the
phase that its magnitudes imply. "original" is the audio against itself. The detuned bass is played again from its notes
with a pitch bend: at 0 cents it is the same but for the rendering's own changes. Brackets: 95 % confidence interval,
bootstrap over songs.
"""


@dataclass(frozen=True)
class Autoencoders:
    """Reconstruction of mix and bass beside PCA and true magnitudes, and spectral distance against detuning.

    Writes autoencoders.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    clips: int = 16
    """Test songs."""
    cents: tuple[int, ...] = (0, 5, 10, 20, 30, 40, 50, 60, 80, 100)
    """How far the bass is detuned."""
    iterations: int = 32
    """Of Griffin-Lim."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""
    embedder: str = DEFAULT_EMBEDDER
    """What FAD listens with."""
    seed: int = 0
    """Seed of the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        if self.clips < 2 or self.iterations < 1 or self.seed < 0:
            raise BadInputError("--clips must be at least 2, --iterations at least 1 and --seed at least 0")
        if not self.cents or len(set(self.cents)) < len(self.cents) or not all(0 <= c <= 200 for c in self.cents):
            raise BadInputError(f"--cents takes different numbers from 0 to 200, got {' '.join(map(str, self.cents))}")
        protocol(self.embedder)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        requests = clip_requests("test", self.clips)
        studies.output_folder(self.output)
        write_report(study(self, studies.load_model(self.weights, self.device), requests), self.output)


QUICK = Autoencoders(clips=3, cents=(0, 20, 40, 60, 100), iterations=8)
FULL = Autoencoders(clips=48)


def study(config: Autoencoders, model: BassAccompaniment, requests: list[ClipRequest]) -> list[Row]:
    """All rows, the missing ones measured: each way to give mix and bass back, then each detuning."""
    how = {
        "songs": f"{len(requests)} test clips, {content_hash(*(request.key for request in requests))[:8]}",
        "measures": "reference_model.evaluate_codec; chord-tone share: YIN",
        "FAD": protocol(config.embedder),
        "interval": "95 %, bootstrap over songs",
    }
    weights = studies.weights_hash(model)
    tasks = []

    def task(system: str, setting: dict[str, Any], change: Callable[[Clip], np.ndarray]) -> studies.Task:
        wanted = tuple(
            Measurement(
                experiment=NAME,
                system=system,
                setting=setting,
                metric=metric,
                clips=len(requests),
                seed=config.seed,
                protocol=how,
            )
            for metric in METRICS
        )
        return studies.Task(wanted, lambda advance: measure(config, requests, setting["audio"], change, advance))

    for which, coder in (("mix", model.mix_autoencoder), ("bass", model.bass_autoencoder)):
        tasks.append(task(ORIGINAL, {"audio": which}, lambda clip: clip.bass))
        for name, way in reconstructions(coder, iterations=config.iterations).items():
            extra = {"iterations": config.iterations} if name == GRIFFIN_LIM else {}
            tasks.append(task(name, {"audio": which, "weights": weights, **extra}, partial(_given_back, way)))
    for cents in config.cents:
        tasks.append(task(DETUNED, {"audio": "bass", "cents": cents}, partial(detuned, cents=cents)))
    store = RowStore(config.output / f"{NAME}.jsonl")
    return studies.measure_missing(tasks, store, device=model.device.type, what=NAME)


def measure(
    config: Autoencoders,
    requests: Sequence[ClipRequest],
    which: str,
    change: Callable[[Clip], np.ndarray],
    advance: studies.Advance,
) -> list[Interval]:
    """The numbers of one way to change all clips' mixes or basses, in the order of `METRICS`."""
    values: dict[str, list[float]] = {name: [] for name in (*CLIP_MEASURES, HARMONY)}
    before, after = [], []
    for request in requests:
        clip = cached_clip(request)
        if which == "mix":
            clip = dataclasses.replace(clip, bass=clip.mix, bass_notes=())
        changed = change(clip)
        for name, value in codec_measures(clip, changed).items():
            values[name].append(value)
        chords = clip.chords if which == "bass" else ()
        values[HARMONY].append(chord_tone_share(bass_pitch(changed), chords) if chords else float("nan"))
        before.append(embed_cached(clip.bass, config.embedder, device=str(find_device(config.device))))
        after.append(embed_cached(changed, config.embedder, device=str(find_device(config.device))))
        advance()
    results = []
    for scores in values.values():
        defined = [score for score in scores if np.isfinite(score)]
        results.append(mean_interval(defined, generator=np.random.default_rng(config.seed)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few windows: all rows have equally many
        distance = fad(before, after, generator=np.random.default_rng(config.seed), replicates=_REPLICATES)
    return [*results, Interval(distance.value, distance.low, distance.high)]


def detuned(clip: Clip, *, cents: float) -> np.ndarray:
    """The clip's bass played again from its notes, higher by `cents`, as loud as it was, `(2, samples)`."""
    part = dataclasses.replace(bass_part(clip.bass_program, clip.bass_notes), bends=((0.0, cents / 100),))
    played = fit_length(render_parts([part], clip.seconds), clip.bass.shape[1])
    level = loudness(clip.bass)
    return loudness_normalise(played, level) if np.isfinite(level) else np.zeros_like(clip.bass)


def _given_back(way: Reconstruct, clip: Clip) -> np.ndarray:
    return way(clip.bass)


def write_report(rows: list[Row], folder: Path) -> None:
    """Print the table; write the .csv, .md and .png."""
    autoencoders_figure(folder / f"{NAME}.png", rows)
    title = "What the autoencoders keep, and what a spectral distance overlooks"
    settings = ("audio", "cents")
    studies.report(rows, folder, NAME, title=title, settings=settings, notes=f"{_NOTES.strip()}\n\n{findings(rows)}")


def findings(rows: Sequence[Row]) -> str:
    """What the paper leaves open and what these rows say, in words."""
    kept, distance = (
        {row.setting["cents"]: row for row in rows if row.system == DETUNED and row.metric == metric}
        for metric in (NOTES, LSD)
    )
    codec = next(row for row in rows if _is(row, AUTOENCODER, LSD))
    nearer = [cents for cents in sorted(kept) if kept[cents].value < 0.5 and distance[cents].value < codec.value]
    text = (
        f"\nThe bass autoencoder's log-spectral distance is {codec.value:.1f} dB [{codec.low:.1f}, {codec.high:.1f}]. "
    )
    if not nearer:
        return text + "Every detuning that loses most notes' pitch is farther from the original than that.\n"
    worst = nearer[-1]
    return text + (
        f"A bass out of tune by {worst} cents, of whose notes {kept[worst].value:.0%} keep their pitch, is nearer to "
        f"the original: {distance[worst].value:.1f} dB. A spectral distance does not see that a bass is out of tune.\n"
    )


def _is(row: Row, system: str, metric: str, audio: str = "bass") -> bool:
    return row.system == system and row.metric == metric and row.setting["audio"] == audio


def autoencoders_figure(path: Path, rows: Sequence[Row]) -> None:
    """Left: notes kept against spectral distance for detuned basses and for what gives a bass back. Right: distances.

    Raises:
        BadInputError: the file cannot be written.
    """
    points = {(row.system, row.setting.get("cents"), row.metric): row for row in rows if row.setting["audio"] == "bass"}
    places = [(system, cents) for system, cents, metric in points if metric == LSD]
    with panels(path, (10.0, 4.2)) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.5, 1)})
        curve = sorted(cents for system, cents in places if system == DETUNED and cents is not None)
        left.plot(
            [points[DETUNED, cents, LSD].value for cents in curve],
            [points[DETUNED, cents, NOTES].value for cents in curve],
            "o-",
            color="C3",
            markersize=4,
            label="played again, detuned by so many cents",
        )
        for cents in curve:
            at = points[DETUNED, cents, LSD].value, points[DETUNED, cents, NOTES].value
            left.annotate(str(cents), at, (5, 4), textcoords="offset points", fontsize=7.5, color="C3")
        for number, name in enumerate(name for name, cents in places if name not in (DETUNED, ORIGINAL)):
            x, y = points[name, None, LSD], points[name, None, NOTES]
            left.errorbar(
                [x.value],
                [y.value],
                xerr=[[max(x.value - x.low, 0)], [max(x.high - x.value, 0)]],
                yerr=[[max(y.value - y.low, 0)], [max(y.high - y.value, 0)]],
                fmt="sD^vP"[number % 5],
                color=f"C{(0, 2, 4, 5, 7)[number % 5]}",
                markersize=6,
                linewidth=0.9,
                label=name,
            )
        left.set(xlabel="log-spectral distance from the original, dB", ylabel="share of notes that keep their pitch")
        left.set_ylim(-0.03, 1.08)
        left.legend(loc="best")
        headline(left, "A spectral distance does not see the pitch")
        names = [name for name in (AUTOENCODER, PCA, GRIFFIN_LIM, RANDOM) if (name, None, SDR) in points]
        for offset, audio in ((-0.2, "mix"), (0.2, "bass")):
            found = {row.system: row for row in rows if row.metric == LSD and row.setting["audio"] == audio}
            shown = [(i, found[name]) for i, name in enumerate(names) if name in found]
            right.barh(
                [i + offset for i, _ in shown],
                [row.value for _, row in shown],
                height=0.36,
                xerr=np.array([[max(r.value - r.low, 0), max(r.high - r.value, 0)] for _, r in shown]).T,
                color={"mix": "0.7", "bass": "C0"}[audio],
                error_kw={"linewidth": 0.9},
                label=audio,
            )
        right.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
        right.invert_yaxis()
        right.set_xlabel("log-spectral distance, dB")
        right.legend(loc="best")
        headline(right, "Reconstruction of mix and bass")


def main() -> None:
    """Entry point of `python -m experiments.autoencoders`."""
    with exit_on_bad_input():
        sizes.from_command_line(Autoencoders(), quick=QUICK, full=FULL, description=__doc__).run()


if __name__ == "__main__":
    main()
