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
import torch

from bassbench.embedders.cache import embed_cached
from bassbench.embedders.registry import DEFAULT_EMBEDDER, protocol
from bassbench.errors import BadInputError
from bassbench.hearing.chroma import chroma
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.fad import fad
from bassbench.metrics.harmony import chord_tone_share
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.results.rows import Row
from bassbench.songs.arrangement import bass_part
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.songs.render import Clip
from bassbench.suite.anchors import played_again
from bassbench.training.pretrained import find_device
from experiments import studies
from experiments.evaluate_codec import CLIP_MEASURES, LSD, NOTES, SDR, ProbeSong, codec_measures, probe, probe_song
from experiments.figures import headline, panels
from experiments.studies import Settings, Study
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.phase import griffin_lim, noise_phase
from reference_model.pipeline import BassAccompaniment, networks_hash
from reference_model.stft import magnitude

Reconstruct = Callable[[np.ndarray], np.ndarray]

AUTOENCODER, LINEAR, PCA = "autoencoder", "autoencoder, linear decoder alone", "PCA"
GRIFFIN_LIM, RANDOM = "true magnitudes, Griffin-Lim", "true magnitudes, random phase"


def reconstructions(coder: Autoencoder, *, iterations: int) -> dict[str, Reconstruct]:
    """All that this autoencoder allows, by name; PCA has the autoencoder's rate and dims, and its STFT.

    PCA: magnitudes of the principal components of frequency-weighted log magnitudes, read back by least squares, and
    the phase that follows from them.  An autoencoder without linear path has neither it nor PCA.
    """
    ways: dict[str, Reconstruct] = {AUTOENCODER: lambda audio: _through(coder, audio, network=True)}
    if coder.linear is not None and coder.config.integrate_phase:
        if coder.encoder is not None:
            ways[LINEAR] = lambda audio: _through(coder, audio, network=False)
        ways[PCA] = lambda audio: _principal(coder, audio)
    ways[GRIFFIN_LIM] = lambda audio: from_magnitudes(coder, audio, iterations)
    ways[RANDOM] = lambda audio: from_magnitudes(coder, audio, 0)
    return ways


@torch.inference_mode()
def from_magnitudes(coder: Autoencoder, audio: np.ndarray, iterations: int) -> np.ndarray:
    """The autoencoder's STFT magnitudes of mid and side with random phase, made consistent by Griffin-Lim.

    The side has the phase of the mid, or its own noise would be heard as width.
    """
    config = coder.config
    whole = -audio.shape[1] % (config.hop * config.frames_per_latent)
    padded = torch.from_numpy(np.pad(audio, ((0, 0), (0, whole))))[None].to(coder.feature_mean.device)
    size = magnitude(coder.spectrum(padded))
    frames = size.shape[2]
    angle = noise_phase(0, frames, (size.shape[3],), size.device)
    phasor = torch.polar(torch.ones_like(angle), angle)[None, None].expand(1, 2, -1, -1)
    phasor = griffin_lim(size, phasor.contiguous(), config.window, config.hop, iterations)
    decoded = coder.waveform(size * phasor)[0].cpu().numpy()
    return decoded[:, : audio.shape[1]]


@torch.inference_mode()
def _through(coder: Autoencoder, audio: np.ndarray, *, network: bool) -> np.ndarray:
    latent = codec.encode(coder, torch.from_numpy(audio)[None].to(coder.feature_mean.device))
    return codec.decode(coder, latent, audio.shape[1], network=network)[0].cpu().numpy()


Encode = Callable[[np.ndarray], np.ndarray]
"""Audio `(2, samples)` to its standardised latent `(dims, frames)`."""


def encoders(coder: Autoencoder) -> dict[str, Encode]:
    """The autoencoder's latents, and those of its principal components where it has them."""
    ways: dict[str, Encode] = {AUTOENCODER: lambda audio: _latent(coder, audio)}
    if coder.linear is not None and coder.config.integrate_phase:
        ways[PCA] = lambda audio: _principal_latent(coder, audio)[0].cpu().numpy()
    return ways


@torch.inference_mode()
def _latent(coder: Autoencoder, audio: np.ndarray) -> np.ndarray:
    return codec.encode(coder, torch.from_numpy(audio)[None].to(coder.feature_mean.device))[0].cpu().numpy()


@torch.inference_mode()
def _principal(coder: Autoencoder, audio: np.ndarray) -> np.ndarray:
    latent = _principal_latent(coder, audio)
    return codec.decode(coder, latent, audio.shape[1], network=False)[0].cpu().numpy()


@torch.inference_mode()
def _principal_latent(coder: Autoencoder, audio: np.ndarray) -> torch.Tensor:
    assert coder.linear is not None
    frame = coder.config.hop * coder.config.frames_per_latent
    padded = torch.from_numpy(np.pad(audio, ((0, 0), (0, -audio.shape[1] % frame))))[None].to(coder.feature_mean.device)
    scores = coder.linear.encode(coder.features(coder.log_magnitude(padded), coder.config.frames_per_latent))
    return ((scores - coder.latent_mean) / coder.latent_std).transpose(1, 2)


NAME = "autoencoders"
HARMONY, CHROMA, FAD = "chord-tone share", "chroma agreement", "FAD"
METRICS = (*CLIP_MEASURES, HARMONY, CHROMA, FAD)
PROBED = ("pitch classes read in latents, AUC", "chord roots read in latents")
_REPLICATES = 200
_NOTES = """
The definitions stand in `experiments.evaluate_codec`. Mixes have no notes to keep and no chord-tone share. Chroma
agreement: mean correlation of the chroma frames (`bassbench.hearing.chroma`) before and after. Read in latents: by
linear classifiers of single frames of the mix latents, fitted on validation songs (`probe` there). FAD
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
        rows = study(self, self.model(), requests)
        autoencoders_figure(self.output / f"{NAME}.png", rows)
        STUDY.report(rows, self.output)


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
        values[CHROMA].append(chroma_correlation(clip.bass, changed))
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


def chroma_correlation(real: np.ndarray, changed: np.ndarray) -> float:
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
    return played_again(clip, part)


def _given_back(way: Reconstruct, clip: Clip) -> np.ndarray:
    return way(clip.bass)


def findings(rows: Sequence[Row]) -> str:
    """What the paper leaves open and what these rows say, in words."""
    kept, distance = (
        {row.setting["cents"]: row for row in rows if row.system == DETUNED and row.metric == metric}
        for metric in (NOTES, LSD)
    )
    codec = next(row for row in rows if _is(row, AUTOENCODER, LSD))
    nearer = [cents for cents in sorted(kept) if kept[cents].value < 0.5 and distance[cents].value < codec.value]
    text = f"The bass autoencoder's log-spectral distance is {codec.value:.1f} dB [{codec.low:.1f}, {codec.high:.1f}]. "
    if not nearer:
        return text + "Every detuning that loses most notes' pitch is farther from the original than that."
    worst = nearer[-1]
    return text + (
        f"A bass out of tune by {worst} cents, of whose notes {kept[worst].value:.0%} keep their pitch, is nearer to "
        f"the original: {distance[worst].value:.1f} dB. A spectral distance does not see that a bass is out of tune."
    )


def _is(row: Row, system: str, metric: str, audio: str = "bass") -> bool:
    return row.system == system and row.metric == metric and row.setting["audio"] == audio


ORIGINAL, DETUNED = "original", "detuned bass"


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


STUDY = Study(
    name=NAME,
    question="What the autoencoders keep",
    title="What the autoencoders keep, and what a spectral distance overlooks",
    default=Autoencoders(),
    quick=Autoencoders(clips=3, cents=(0, 20, 40, 60, 100), iterations=8, probe_songs=6),
    full=Autoencoders(clips=12),
    columns=("audio", "cents"),
    notes=_NOTES,
    findings=findings,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
