"""What is lost on the way through the autoencoders, and what any spectral distance overlooks.

    python -m experiments.autoencoders

Mix and bass of test songs, given back by both autoencoders, by plain PCA of the same rate and dims, and from true
magnitudes with random phase and with Griffin-Lim; and the harmony that linear classifiers read in the mix latents. And
the bass detuned by 0 to 100 cents, played again from its notes with a pitch bend: how far the spectral distance moves,
and how many notes keep their pitch. Run it again to go on where it was cut off.
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
from bassbench.embedders.cache import embed_cached
from bassbench.embedders.registry import DEFAULT_EMBEDDER, protocol
from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.hearing.chroma import chroma
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.fad import fad
from bassbench.metrics.harmony import chord_tone_share
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.results.rows import Row
from bassbench.songs.arrangement import bass_part
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.songs.render import Clip
from bassbench.songs.soundfont import render_parts
from bassbench.training.pretrained import find_device
from experiments import sizes, studies
from experiments.autoencoders_figure import DETUNED, ORIGINAL, autoencoders_figure
from experiments.evaluate_codec import CLIP_MEASURES, LSD, NOTES, codec_measures
from experiments.linear_probe import ProbeSong, probe, probe_song
from experiments.reconstructions import (
    AUTOENCODER,
    GRIFFIN_LIM,
    RANDOM,
    Reconstruct,
    encoders,
    reconstructions,
)
from experiments.settings import Settings
from reference_model.pipeline import BassAccompaniment, networks_hash

NAME = "autoencoders"
HARMONY, CHROMA, FAD = "chord-tone share", "chroma agreement", "FAD"
METRICS = (*CLIP_MEASURES, HARMONY, CHROMA, FAD)
PROBED = ("pitch classes read in latents, AUC", "chord roots read in latents")
_REPLICATES = 200
_NOTES = """
The definitions stand in `experiments.evaluate_codec`. Mixes have no notes to keep and no chord-tone share. Chroma
agreement: mean correlation of the chroma frames (`bassbench.hearing.chroma`) before and after. Read in latents: by
linear classifiers of single frames of the mix latents, fitted on validation songs (`experiments.linear_probe`). FAD
is between the audio and what was made of it, over the same songs. "PCA" has the rate and dims of the autoencoder and
the phase that its magnitudes imply. "original" is the audio against itself. The detuned bass is played again from its
notes with a pitch bend: at 0 cents it is the same but for the rendering's own changes. Brackets: 95 % confidence
interval, bootstrap over songs.
"""


@dataclass(frozen=True, kw_only=True)
class Autoencoders(Settings):
    """Reconstruction of mix and bass beside PCA and true magnitudes, and spectral distance against detuning.

    Writes autoencoders.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    clips: int = 16
    """Test songs."""
    cents: tuple[int, ...] = (0, 5, 10, 20, 30, 40, 50, 60, 80, 100)
    """How far the bass is detuned."""
    iterations: int = 32
    """Of Griffin-Lim."""
    probe_songs: int = 32
    """Validation songs that the classifiers of harmony are fitted on."""
    embedder: str = DEFAULT_EMBEDDER
    """What FAD listens with."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if self.clips < 2 or self.probe_songs < 2 or self.iterations < 1:
            raise BadInputError("--clips and --probe-songs must be at least 2, --iterations at least 1")
        if not self.cents or len(set(self.cents)) < len(self.cents) or not all(0 <= c <= 200 for c in self.cents):
            raise BadInputError(f"--cents takes different numbers from 0 to 200, got {' '.join(map(str, self.cents))}")
        protocol(self.embedder)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        requests = clip_requests("test", self.clips)
        write_report(study(self, self.model(), requests), self.output)


QUICK = Autoencoders(clips=3, cents=(0, 20, 40, 60, 100), iterations=8, probe_songs=6)
FULL = Autoencoders(clips=12)


def study(config: Autoencoders, model: BassAccompaniment, requests: list[ClipRequest]) -> list[Row]:
    """All rows, the missing ones measured: each way to give mix and bass back, then each detuning."""
    how = {
        "songs": f"{len(requests)} test clips, {studies.clips_hash(requests)}",
        "measures": "experiments.evaluate_codec; chord-tone share: YIN",
        "FAD": protocol(config.embedder),
        "interval": "95 %, bootstrap over songs",
    }
    probed = how | {"probe": f"fitted on {config.probe_songs} validation clips"}
    measurements = studies.Measurements(NAME, len(requests), config.seed, how, dict.fromkeys(PROBED, probed))
    tasks = []

    def task(system: str, setting: dict[str, Any], change: Callable[[Clip], np.ndarray]) -> studies.Task:
        def of_all(advance: studies.Advance) -> list[Interval]:
            return measure(config, requests, setting["audio"], change, advance)

        return measurements.task(system, setting, METRICS, of_all)

    for which, coder in (("mix", model.mix_autoencoder), ("bass", model.bass_autoencoder)):
        tasks.append(task(ORIGINAL, {"audio": which}, lambda clip: clip.bass))
        weights = {"codec": networks_hash(coder)}
        for name, way in reconstructions(coder, iterations=config.iterations).items():
            # True magnitudes depend on the STFT, not on the weights.
            about = (
                {"window": coder.config.window, "hop": coder.config.hop} if name in (GRIFFIN_LIM, RANDOM) else weights
            )
            extra = {"iterations": config.iterations} if name == GRIFFIN_LIM else {}
            tasks.append(task(name, {"audio": which, **about, **extra}, partial(_given_back, way)))
        for name, encode in encoders(coder).items() if which == "mix" else ():
            read = partial(read_harmony, config, requests, encode)
            tasks.append(measurements.task(name, {"audio": which, **weights}, PROBED, read))
    for cents in config.cents:
        tasks.append(task(DETUNED, {"audio": "bass", "cents": cents}, partial(detuned, cents=cents)))
    return measurements.rows(tasks, config.output, device=model.device)


def read_harmony(
    config: Autoencoders,
    requests: Sequence[ClipRequest],
    encode: Callable[[np.ndarray], np.ndarray],
    advance: studies.Advance,
) -> list[Interval]:
    """How well linear classifiers read pitch classes and chord roots in the mix latents, in the order of `PROBED`."""

    def song(request: ClipRequest) -> ProbeSong:
        clip = cached_clip(request)
        return probe_song(encode(clip.mix), clip.chords)

    fitted = [song(request) for request in clip_requests("validation", config.probe_songs)]
    tested = []
    for request in requests:
        tested.append(song(request))
        advance()
    found = probe(fitted, tested, generator=np.random.default_rng(config.seed))
    return [found["chroma"], found["root"]]


def measure(
    config: Autoencoders,
    requests: Sequence[ClipRequest],
    which: str,
    change: Callable[[Clip], np.ndarray],
    advance: studies.Advance,
) -> list[Interval]:
    """The numbers of one way to change all clips' mixes or basses, in the order of `METRICS`."""
    values: dict[str, list[float]] = {name: [] for name in (*CLIP_MEASURES, HARMONY, CHROMA)}
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
        values[CHROMA].append(chroma_agreement(clip.bass, changed))
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


def chroma_agreement(real: np.ndarray, changed: np.ndarray) -> float:
    """Mean correlation of the chroma of two audios of one length, frame by frame where both sound; NaN without one."""
    first, second = chroma(real).strength, chroma(changed).strength
    if len(first) != len(second):  # one of them is silent as a whole
        return float("nan")
    first, second = (one - one.mean(axis=1, keepdims=True) for one in (first, second))
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    sounds = scale > 0
    return float(((first * second).sum(axis=1)[sounds] / scale[sounds]).mean()) if sounds.any() else float("nan")


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


def main() -> None:
    """Entry point of `python -m experiments.autoencoders`."""
    with exit_on_bad_input():
        sizes.from_command_line(Autoencoders(), quick=QUICK, full=FULL, description=__doc__).run()


if __name__ == "__main__":
    main()
