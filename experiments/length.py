"""Beyond the length of training: match and harmony over time in mixes of 128 to 4096 latent frames (12 s to 6 min).

    python -m experiments.length

The paper's dynamic positional bias is to let the model play at lengths that it has not seen. The shipped model plays
for medleys (`experiments.medley`) that the U-Net sees as a whole, with its bias and with the bias taken away; and small
U-Nets that were trained alike but for their positions (dynamic bias, absolute, none) play for the same, from the same
noise. The short trainings are kept in the folder `--runs`. Run it again to go on where it was cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bassbench.errors import BadInputError, check_limits, exit_on_bad_input
from bassbench.metrics.bootstrap import Interval, mean_interval
from bassbench.results.rows import Row
from bassbench.songs.clips import ClipRequest, clip_requests
from bassbench.suite.anchors import OTHER, REAL, derangement
from contrastive.encoder import Matcher
from contrastive.scoring import WEIGHTS
from experiments import sizes, studies
from experiments.length_figure import length_figure
from experiments.length_findings import findings
from experiments.length_models import WIDTHS, ShortTraining, with_unet, without_bias
from experiments.match_proof import weights_hash as matcher_hash
from experiments.medley import Medleys, Passage
from experiments.medley_player import MedleyPlayer
from experiments.settings import Settings
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.positional_bias import Positions

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
        write_report(study(self, self.model(), matcher, requests), self)


QUICK = Length(clips=2, frames=(128, 256, 1024), positions=(), steps=8)
FULL = Length(frames=(128, 256, 512, 1024, 4096), positions=("dynamic", "absolute"), train_steps=800)


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


def write_report(rows: list[Row], config: Length) -> None:
    """Print the table and what was found; write the .csv, .md and .png."""
    length_figure(config.output / f"{NAME}.png", rows)
    title = "Beyond the length of training"
    studies.report(
        rows, config.output, NAME, title=title, settings=("frames", "from"), notes=_NOTES, findings=findings(rows)
    )


def main() -> None:
    """Entry point of `python -m experiments.length`."""
    with exit_on_bad_input():
        sizes.from_command_line(Length(), quick=QUICK, full=FULL, description=__doc__).run()


if __name__ == "__main__":
    main()
