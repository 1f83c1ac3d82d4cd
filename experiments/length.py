"""Beyond the length of training: match and harmony over time in mixes of 128 to 4096 latent frames (12 s to 6 min).

    python -m experiments.length

The paper's dynamic positional bias is to let the model play at lengths that it has not seen. The shipped model plays
for medleys (`experiments.medley`) that the U-Net sees as a whole, with its bias and with the bias taken away; and small
U-Nets that were trained alike but for their positions (dynamic bias, absolute, none) play for the same, from the same
noise. The short trainings are kept in the folder `--runs`. Run it again to go on where it was cut off.
"""

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes

from bassbench.cache import content_hash
from bassbench.errors import BadInputError, check_limits
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.songs.clips import ClipRequest, clip_requests
from bassbench.suite.anchors import OTHER, REAL, derangement
from contrastive.encoder import Matcher
from contrastive.scoring import WEIGHTS
from experiments import studies
from experiments.figures import curve, doubling_axis, headline, level_line, panels
from experiments.medley import MedleyPlayer, Medleys, Passage
from experiments.studies import (
    NOT,
    NOT_MEASURED,
    PARTLY,
    REPRODUCED,
    Settings,
    Study,
    Verdict,
    matcher_hash,
    with_interval,
)
from reference_model import train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.latents import encoder_hash, song_latents
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.positional_bias import PositionalBias, Positions
from reference_model.presets import R_TIME, SAMPLE_RATE
from reference_model.train_diffusion import TrainingConfig
from reference_model.unet import UNet

WIDTHS = (64, 96, 128, 160)


@dataclass(frozen=True)
class ShortTraining:
    """How the U-Nets that differ in their positions alone are trained: alike, and briefly."""

    runs: Path
    """A folder for each run is made in it; a run that was cut off goes on."""
    steps: int
    frames: int
    """Length of the training examples, in latent frames."""
    songs: int
    """Training songs, one rendering each."""
    preset: str = "small"
    widths: tuple[int, ...] = WIDTHS
    data: str = "train"
    validation_data: str = "validation"
    validation_songs: int = 16

    def trained(self, positions: Positions, mix: Autoencoder, bass: Autoencoder) -> UNet:
        """The U-Net with these positions, on latents of these autoencoders; read back if it has been trained.

        Raises:
            BadInputError: the folder cannot be written, or the loss is not finite any more.
        """
        encoders = {"mix": encoder_hash(mix), "bass": encoder_hash(bass)}
        settings = TrainingConfig(
            run=self.runs / f"{positions}-{self.hash(positions, mix, bass)}",
            preset=self.preset,
            positions=positions,
            widths=self.widths,
            steps=self.steps,
            frames=self.frames,
            songs=self.songs,
            data=self.data,
            validation_data=self.validation_data,
            validation_songs=self.validation_songs,
            validate_every=max(self.steps // 4, 1),
            checkpoint_every=max(self.steps // 8, 1),
            log_every=max(self.steps // 8, 1),
            sample_every=0,
        )
        file = settings.run / "unet.safetensors"
        if not self._is_done(settings.run):
            sources = [
                song_latents(data, mix, bass, songs=songs, frames=self.frames)
                for data, songs in ((self.data, self.songs), (self.validation_data, self.validation_songs))
            ]
            train_diffusion.train(settings, *sources, encoders=encoders)
            (settings.run / "done").touch()
        return UNet.from_pretrained(file)

    def hash(self, positions: Positions, mix: Autoencoder, bass: Autoencoder) -> str:
        """Eight hexadecimal digits of the recipe: its settings, the positions, and what the latents depend on."""
        recipe = json.dumps(dataclasses.asdict(dataclasses.replace(self, runs=Path())), default=str)
        return content_hash(recipe, positions, encoder_hash(mix), encoder_hash(bass))[:8]

    def _is_done(self, run: Path) -> bool:
        return (run / "done").exists() and (run / "unet.safetensors").exists()


def without_bias(unet: UNet) -> UNet:
    """A copy whose positional bias is zero everywhere."""
    plain = copy.deepcopy(unet)
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, PositionalBias):
                last = module.layers[-1]
                assert isinstance(last, torch.nn.Linear)
                last.weight.zero_()
                last.bias.zero_()
    return plain


def with_unet(model: BassAccompaniment, unet: UNet) -> BassAccompaniment:
    """The model with another U-Net, on the same device."""
    return dataclasses.replace(model, unet=unet.to(model.device))


NAME = "length"
SHIPPED, BIASLESS = "shipped, dynamic bias", "shipped, bias taken away"
TRAINED = {
    "dynamic": "short training, dynamic bias",
    "absolute": "short training, absolute positions",
    "none": "short training, no positions",
}
CHORDS, MATCH = "chord-tone share", "match score"
CHORDS_CHANGE, MATCH_CHANGE = "change of chord-tone share", "change of match score"
SHIPPED_FRAMES = 256
_METRICS = (CHORDS, MATCH)
_NOTES = """
"frames": latent frames (93 ms) of the medley, which the U-Net sees at once; "from": the first frame of the part that
was heard, in the longest medleys; without it the whole medley. Chord-tone share: of the frames with a clear pitch,
those on a tone of the sounding chord; 0 where there is no pitch. Match score: similarity of mix and bass by the
contrastive matcher, passage by passage. Change: from the length of the system's own training to this one, song by song.
The shipped model was trained on 256 frames. The short trainings are far shorter than the shipped one's: compare them
with each other. Brackets: 95 % confidence interval, bootstrap over songs.
"""


@dataclass(frozen=True, kw_only=True)
class Length(Settings):
    """Match score and chord-tone share of basses for medleys of growing length, by how the U-Net knows positions.

    Writes length.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    clips: int = 6
    """Songs in the circle; as many medleys of each length (twice as many of half a song)."""
    frames: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    """Lengths of the medleys, in latent frames."""
    passage: int = 128
    """Latent frames that are heard at a time; it divides the lengths and a song."""
    positions: tuple[Positions, ...] = ("dynamic", "absolute", "none")
    """Positions of the U-Nets that are trained for the comparison; none: the shipped model alone."""
    train_steps: int = 1000
    """Steps of the short trainings."""
    train_frames: int = 128
    """Length of their examples; one of `--frames`."""
    train_songs: int = 300
    """Songs that they are trained on."""
    train_preset: str = "small"
    """Preset of their U-Nets, but for the widths."""
    widths: tuple[int, ...] = WIDTHS
    """Channels at each of their resolutions."""
    cfg: float = Sampling.cfg
    """Guidance weight."""
    phi: float = Sampling.phi
    """Rescale of the guided estimate."""
    steps: int = 16
    """DDIM steps."""
    runs: Path = Path("runs/length")
    """Folder of the short trainings."""
    matcher: Path = WEIGHTS
    """The matcher's weights."""
    batch_frames: int = 2048
    """Latent frames sampled at a time; it does not change the result."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        check_limits(self, train_steps="training_steps", train_frames="frames", passage="frames", train_songs="songs")
        if self.clips < 2:
            raise BadInputError(f"--clips takes at least 2, got {self.clips}")
        if len(self.frames) < 2 or len(set(self.frames)) != len(self.frames):
            raise BadInputError(f"--frames takes different lengths, got {' '.join(map(str, self.frames))}")
        if any(frames < 1 or frames % self.passage for frames in self.frames):
            raise BadInputError(f"--frames must be multiples of --passage {self.passage}")
        if set(self.positions) - set(TRAINED) or len(set(self.positions)) != len(self.positions):
            raise BadInputError(f"--positions takes {', '.join(TRAINED)}, got {' '.join(self.positions)}")
        if self.positions and self.train_frames not in self.frames:
            raise BadInputError(f"--train-frames must be one of --frames, got {self.train_frames}")
        Sampling(steps=self.steps, cfg=self.cfg, phi=self.phi)

    def run(self) -> None:
        """Train and measure what is missing, print the table and write the report."""
        self.validate()
        requests = clip_requests("test", self.clips)
        matcher = Matcher.from_pretrained(self.matcher)
        rows = study(self, self.model(), matcher, requests)
        length_figure(self.output / f"{NAME}.png", rows)
        STUDY.report(rows, self.output)


def study(config: Length, model: BassAccompaniment, matcher: Matcher, requests: Sequence[ClipRequest]) -> list[Row]:
    """All rows, the missing ones measured: real bass, then each U-Net at each length, from short to long."""
    medleys = Medleys(model, tuple(requests), matcher, config.passage)
    if medleys.song_frames % config.passage:
        raise BadInputError(f"--passage must divide the {medleys.song_frames} frames of a song, got {config.passage}")
    how = {
        "songs": f"{len(requests)} test clips in a circle, {studies.clips_hash(requests)}",
        "passage": f"{config.passage} latent frames",
        "matcher": matcher_hash(matcher),
        "pitch": "YIN at 4 kHz, 20 ms frames; without a pitch the chord-tone share is 0",
        "interval": "95 %, bootstrap over songs",
    }
    longest = max(config.frames)
    parts = range(0, longest, min(medleys.song_frames, longest))
    measurements = studies.Measurements(NAME, len(requests), config.seed, how)

    def of_real(advance: studies.Advance, partner: Sequence[int]) -> list[Interval]:
        return _means(medleys.hear_real(partner), config.seed)

    def of_model(advance: studies.Advance, player: MedleyPlayer, system: str, frames: int, home: int) -> list[Interval]:
        heard = player.heard(system, frames, advance)
        found = _means(heard, config.seed)
        if frames != home:
            found += _changes(heard, player.heard(system, home), config.seed)
        if frames == longest:
            for start in parts:
                here = [p for p in heard if start <= p.start < start + medleys.song_frames]
                found += _means(here, config.seed)
        return found

    itself = list(range(len(requests)))
    others = derangement(len(requests), generator=np.random.default_rng(config.seed)).tolist()
    tasks = [
        measurements.task(name, {}, _METRICS, partial(of_real, partner=partner))
        for name, partner in ((REAL, itself), (OTHER, others))
    ]
    sampling = Sampling(steps=config.steps, cfg=config.cfg, phi=config.phi)
    for one in variants(config, model):
        player = MedleyPlayer(medleys, one.model, one.setting, sampling, config.seed, config.batch_frames)
        about = {"cfg": config.cfg, "phi": config.phi, "steps": config.steps, **one.setting}
        for frames in sorted(config.frames):
            setting = {"frames": frames, **about}
            wanted = measurements.of(one.system, setting, _METRICS)
            if frames != one.home:
                wanted += measurements.of(one.system, setting, (CHORDS_CHANGE, MATCH_CHANGE))
            if frames == longest:
                for start in parts:
                    wanted += measurements.of(one.system, {**setting, "from": start}, _METRICS)
            measure = partial(of_model, player=player, system=one.system, frames=frames, home=one.home)
            tasks.append(studies.Task(wanted, measure))
    return measurements.rows(tasks, config.output, device=model.device)


@dataclass(frozen=True)
class Variant:
    """One system: what identifies its U-Net, the length that it was trained on, and how to get it."""

    system: str
    setting: dict[str, Any]
    home: int
    model: Callable[[], BassAccompaniment]


def variants(config: Length, model: BassAccompaniment) -> list[Variant]:
    """The systems to compare; a short training begins when its U-Net is asked for."""
    home = SHIPPED_FRAMES if SHIPPED_FRAMES in config.frames else min(config.frames)
    setting = {"weights": model.version}
    found = [
        Variant(SHIPPED, setting, home, lambda: model),
        Variant(BIASLESS, setting, home, lambda: with_unet(model, without_bias(model.unet))),
    ]
    training = ShortTraining(
        config.runs, config.train_steps, config.train_frames, config.train_songs, config.train_preset, config.widths
    )
    coders = model.mix_autoencoder, model.bass_autoencoder
    for positions in config.positions:

        def trained(positions: Positions = positions) -> BassAccompaniment:
            return with_unet(model, training.trained(positions, *coders))

        recipe = {"training": training.hash(positions, *coders)}
        found.append(Variant(TRAINED[positions], recipe, config.train_frames, trained))
    return found


def _by_song(heard: Sequence[Passage]) -> dict[int, list[Passage]]:
    songs: dict[int, list[Passage]] = {}
    for passage in heard:
        songs.setdefault(passage.song, []).append(passage)
    return dict(sorted(songs.items()))


def _song_means(heard: Sequence[Passage]) -> np.ndarray:
    """Chord-tone share and match score of each song, `(2, songs)`."""
    songs = _by_song(heard).values()
    return np.array([[np.mean([getattr(p, name) for p in song]) for song in songs] for name in ("chords", "match")])


def _means(heard: Sequence[Passage], seed: int) -> list[Interval]:
    return [mean_interval(values, generator=np.random.default_rng(seed)) for values in _song_means(heard)]


def _changes(heard: Sequence[Passage], home: Sequence[Passage], seed: int) -> list[Interval]:
    change = _song_means(heard) - _song_means(home)
    return [mean_interval(values, generator=np.random.default_rng(seed)) for values in change]


_DASHED = ("bias taken away", "no positions")


def length_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw each system's chord-tone share and match score, above over time, below against the medley's length.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    systems = list(dict.fromkeys(row.system for row in rows if "frames" in row.setting))
    # Systems of one training share a colour's family; what lacks positions is dashed.
    colours = dict(zip(systems, sns.color_palette("colorblind", len(systems)), strict=True))
    with panels(path, (10.0, 7.2)) as figure:
        grid = figure.subplots(2, 2, sharey="col")
        for column, metric in enumerate(_METRICS):
            found = [row for row in rows if row.metric == metric]
            for line, across in enumerate(("from", "frames")):
                axes = grid[line, column]
                for system in systems:
                    own = [row for row in found if row.system == system]
                    parts = [
                        row for row in own if "frames" in row.setting and ("from" in row.setting) == (across == "from")
                    ]
                    _draw(axes, parts, across, colours[system])
                for row in found:
                    if row.system in (REAL, OTHER):
                        level_line(axes, row.value, row.system)
                if across == "frames":
                    ticks = sorted({row.setting["frames"] for row in found if "frames" in row.setting})
                    doubling_axis(axes, ticks)
                    axes.set_xlabel("length of the medley, latent frames (93 ms)")
                    headline(axes, f"{metric.capitalize()} against length")
                else:
                    longest = max(row.setting["frames"] for row in found if "frames" in row.setting)
                    axes.set_xlabel(f"time in medleys of {longest} frames, s")
                    headline(axes, f"{metric.capitalize()} over time")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)


def _draw(axes: Axes, rows: Sequence[Row], across: str, colour: tuple[float, float, float]) -> None:
    rows = sorted(rows, key=lambda row: row.setting[across])
    if not rows:
        return
    scale = R_TIME / SAMPLE_RATE if across == "from" else 1
    places = [row.setting[across] * scale for row in rows]
    system = rows[0].system
    dashes = "--" if system.endswith(_DASHED) else "-"
    marker = "s" if system.startswith("short") else "o"
    curve(axes, places, rows, dashes, shade=0.08, marker=marker, color=colour, label=system)


def findings(rows: Sequence[Row]) -> str:
    """What the paper says and what these rows say, in words."""
    longest = max(row.setting["frames"] for row in rows if "frames" in row.setting)
    said = [
        "The paper's dynamic positional bias is to let the model play at any length; it measures none beyond that of "
        "its training."
    ]
    for row in _changed_rows(rows, longest):
        at_home, at_longest = _whole(rows, row.system, home=True), _whole(rows, row.system, home=False)
        match = next(r for r in rows if _is(r, row.system, MATCH_CHANGE, longest))
        said.append(
            f'From {at_home.setting["frames"]} to {longest} frames the chord-tone share of "{row.system}" goes from '
            f"{at_home.value:.2f} to {at_longest.value:.2f} (change {with_interval(row)}), its match score changes by "
            f"{with_interval(match)}."
        )
    real, other = (next(r for r in rows if r.system == name and r.metric == CHORDS) for name in (REAL, OTHER))
    said.append(
        f"Real bass has a chord-tone share of {with_interval(real)}, the bass of another song {with_interval(other)}."
    )
    said.append(
        "Reasons to differ: the medleys change song every 24 s, so that there is more to look away from in a long one "
        "than in a long song; attention sees the coarsest resolutions alone, and what the convolutions hear around a "
        "frame needs no positions; and the short trainings have learnt little to lose."
    )
    return " ".join(said)


def _changed_rows(rows: Sequence[Row], longest: int) -> list[Row]:
    return [row for row in rows if row.metric == CHORDS_CHANGE and row.setting["frames"] == longest]


def _is(row: Row, system: str, metric: str, frames: int) -> bool:
    return (row.system, row.metric, row.setting.get("frames")) == (system, metric, frames) and "from" not in row.setting


def _whole(rows: Sequence[Row], system: str, *, home: bool) -> Row:
    """The chord-tone share over whole medleys: of the training's length, which has no change, or of the longest."""
    own = [r for r in rows if r.system == system and r.metric == CHORDS and "from" not in r.setting]
    changed = {r.setting["frames"] for r in rows if r.system == system and r.metric == CHORDS_CHANGE}
    if home:
        return next(row for row in own if row.setting["frames"] not in changed)
    return max(own, key=lambda row: row.setting["frames"])


def any_length(rows: Sequence[Row]) -> Verdict:
    """Claim: with the dynamic positional bias the model plays at lengths that it has not been trained on.

    Held against the change of the chord-tone share from the length of training to the longest. Reproduced if the
    shipped model certainly loses less than 0.1; partly if it may lose more, but the short training with the bias
    certainly loses less than that with absolute positions; not otherwise.
    """
    changes = [row for row in rows if row.metric == "change of chord-tone share"]
    longest = max((row.setting["frames"] for row in changes), default=0)
    found = {row.system: row for row in changes if row.setting["frames"] == longest}
    shipped = next((row for system, row in found.items() if system == "shipped, dynamic bias"), None)
    if shipped is None:
        return Verdict(NOT_MEASURED)
    numbers = f"chord-tone share changes by {with_interval(shipped)} up to {longest} frames"
    biased, absolute = (found.get(f"short training, {name}") for name in ("dynamic bias", "absolute positions"))
    if biased is not None and absolute is not None:
        numbers += f"; trained alike, by {with_interval(biased)} with the bias"
        numbers += f" and {with_interval(absolute)} with absolute positions"
    if shipped.low > -0.1:
        return Verdict(REPRODUCED, numbers)
    better = biased is not None and absolute is not None and biased.low > absolute.high
    return Verdict(PARTLY if better else NOT, numbers)


STUDY = Study(
    name=NAME,
    question="Beyond the length of training",
    title="Beyond the length of training",
    default=Length(),
    quick=Length(clips=2, frames=(128, 256, 1024), positions=(), steps=8),
    full=Length(frames=(128, 256, 512, 1024, 4096), positions=("dynamic", "absolute"), train_steps=800),
    columns=("frames", "from"),
    notes=_NOTES,
    findings=findings,
    claim="with the dynamic positional bias the model plays at any length (said, not measured)",
    verdict=any_length,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
