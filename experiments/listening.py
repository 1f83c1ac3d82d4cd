"""Does the model listen?  Chord-tone share of bass generated for test mixes, against bass that was not.

    python -m experiments.listening

A bass is generated for each test mix at several guidance weights, and from less noise than the paper's, and scored
against the chords of its own song. With the mixes swapped, the song is given the bass that was generated for another
mix: if the model listens, that bass fits as badly as another song's real bass does. Run it again to go on where it was
cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bassbench.errors import BadInputError
from bassbench.hearing.pitch import PitchTrack, bass_pitch
from bassbench.metrics.gate import gate
from bassbench.metrics.harmony import chord_tone_share, voiced_share
from bassbench.metrics.statistics import Interval, mean_interval
from bassbench.results.figure import curve_figure
from bassbench.results.rows import Row
from bassbench.songs.clips import ClipRequest, cached_clip, clip_requests
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Chord
from bassbench.suite.anchors import CODEC, OTHER, REAL, Anchor, anchors, derangement
from experiments import studies
from experiments.playing import generated
from experiments.studies import Study, WeightSettings, with_interval
from reference_model.pipeline import BassAccompaniment, Sampling

NAME = "listening"
OWN, SWAPPED = "reference model", "reference model, mixes swapped"
SHARE, GAIN, VOICED, GATE = "chord-tone share", "gain over swapped mixes", "voiced share", "passes the gate"
_IN_FIGURE = (REAL, CODEC, OTHER, "up a semitone")
_NOTES = """
Chord-tone share: of the frames in which the bass has a clear pitch, those whose pitch class is in the sounding chord;
mean over songs, where a bass that never has a pitch counts as 0. "gain over swapped mixes" is the mean paired
difference. Temperature: deviation of the noise that sampling starts from, 1 where none is given. Brackets: 95 %
confidence interval, bootstrap over songs.
"""
_TEMPERED_CFG = 2.0


@dataclass(frozen=True, kw_only=True)
class Listening(WeightSettings):
    """Chord-tone share of generated bass, with its own mix and with another, against anchors.

    Writes listening.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    clips: int = 30
    """Test songs."""
    temperatures: tuple[float, ...] = (0.8, 0.6)
    """Deviations of the noise that sampling starts from, besides 1; at a guidance weight of 2."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        if 1.0 in self.temperatures or len(set(self.temperatures)) < len(self.temperatures):
            given = " ".join(map(str, self.temperatures))
            raise BadInputError(f"--temperatures takes different numbers other than 1, got {given}")
        super().validate()
        if self.clips < 2:
            raise BadInputError("an interval over songs, and a swap, take at least 2 in --clips")
        if not self.cfg or 0 in self.cfg:
            raise BadInputError(f"--cfg takes positive numbers, got {' '.join(map(str, self.cfg))}")

    @property
    def samplings(self) -> list[Sampling]:
        """How basses are drawn: at each weight, then at each temperature.

        Raises:
            BadInputError: a setting that cannot be sampled with.
        """
        at_two = (Sampling(self.steps, _TEMPERED_CFG, self.phi, temperature=t) for t in self.temperatures)
        return [*super().samplings, *at_two]

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        requests = clip_requests("test", self.clips)
        rows = study(self, self.model(), requests)
        shares = [row for row in rows if row.metric == SHARE]
        curve_figure(
            self.output / f"{NAME}.png",
            [row for row in shares if "cfg" in row.setting and not _tempered(row)],
            across="cfg",
            anchors=[row for row in shares if row.system in _IN_FIGURE],
            title="Does the bass follow the chords of the mix?",
            x_label="guidance weight (CFG)",
            y_label="chord-tone share of voiced frames",
            share=True,
        )
        STUDY.report(rows, self.output)


@dataclass(frozen=True)
class HeardBass:
    """What is kept of one bass: the chords of its song, its pitch, and whether it passed the gate."""

    chords: tuple[Chord, ...]
    track: PitchTrack
    passed: bool


def study(config: Listening, model: BassAccompaniment, requests: list[ClipRequest]) -> list[Row]:
    """All rows of the study, the missing ones measured: anchors first, then each guidance weight."""
    count = len(requests)
    partner = derangement(count, generator=np.random.default_rng(config.seed))
    how = {
        "pitch": "YIN at 4 kHz, 20 ms frames",
        "songs": f"{count} test clips, {studies.clips_hash(requests)}",
        "pairing": f"one cycle through all songs, seed {config.seed}",
        "without a pitch": "share 0",
        "interval": "95 %, bootstrap over songs",
    }
    weights: dict[str, Any] = {"weights": model.version}
    measurements = studies.Measurements(NAME, count, config.seed, how)
    tasks = []
    for name, anchor in anchors(model.codec).items():
        setting = weights if name == CODEC else {}

        def of_anchor(advance: studies.Advance, anchor: Anchor = anchor) -> list[Interval]:
            heard = hear_anchor(anchor, requests, partner, config.seed, advance)
            return [*own_scores(heard, config.seed)]

        tasks.append(measurements.task(name, setting, (SHARE, VOICED, GATE), of_anchor))
    for sampling in config.samplings:
        setting = {"cfg": sampling.cfg, "phi": config.phi, "steps": config.steps, **weights}
        if sampling.temperature != 1:
            setting["temperature"] = sampling.temperature
        own = measurements.of(OWN, setting, (SHARE, VOICED, GATE, GAIN))

        def of_model(advance: studies.Advance, sampling: Sampling = sampling) -> list[Interval]:
            heard = hear_model(config, model, requests, sampling, advance)
            return [*own_scores(heard, config.seed), *swapped_scores(heard, partner, config.seed)]

        tasks.append(studies.Task(own + measurements.of(SWAPPED, setting, (SHARE,)), of_model))
    return measurements.rows(tasks, config.output, device=model.device)


def hear(clip: Clip, audio: np.ndarray) -> HeardBass:
    """What is kept of a bass `(2, samples)` for a clip."""
    return HeardBass(clip.chords, bass_pitch(audio), gate(audio, reference=clip.bass).passed)


def hear_anchor(
    anchor: Anchor, requests: list[ClipRequest], partner: np.ndarray, seed: int, advance: studies.Advance
) -> list[HeardBass]:
    """The anchor's bass for each clip, heard."""
    heard = []
    for index, request in enumerate(requests):
        clip = cached_clip(request)
        audio = anchor(clip, cached_clip(requests[partner[index]]), studies.clip_seed(seed, index))
        heard.append(hear(clip, audio))
        advance()
    return heard


def hear_model(
    config: Listening,
    model: BassAccompaniment,
    requests: list[ClipRequest],
    sampling: Sampling,
    advance: studies.Advance,
) -> list[HeardBass]:
    """The bass generated for each clip's mix, heard."""
    heard = []
    for scored in generated(model, requests, sampling, seed=config.seed, batch_size=config.batch_size):
        heard.append(hear(scored.clip, scored.bass))
        advance()
    return heard


def own_scores(heard: Sequence[HeardBass], seed: int) -> tuple[Interval, Interval, Interval]:
    """Chord-tone share, voiced share, and share that passes the gate, each bass with its own song."""
    scores = (
        [_share(bass, bass.chords) for bass in heard],
        [voiced_share(bass.track) for bass in heard],
        [float(bass.passed) for bass in heard],
    )
    own, voiced, passed = (mean_interval(score, generator=np.random.default_rng(seed)) for score in scores)
    return own, voiced, passed


def swapped_scores(heard: Sequence[HeardBass], partner: np.ndarray, seed: int) -> tuple[Interval, Interval]:
    """Mean paired gain of the own mix over a swapped one, and the chord-tone share with mixes swapped.

    With mixes swapped, song i is played the bass generated for the mix of song `partner[i]`.
    """
    own = np.array([_share(bass, bass.chords) for bass in heard])
    swapped = np.array([_share(heard[partner[i]], bass.chords) for i, bass in enumerate(heard)])
    gain = mean_interval(own - swapped, generator=np.random.default_rng(seed))
    return gain, mean_interval(swapped, generator=np.random.default_rng(seed))


def _share(bass: HeardBass, chords: Sequence[Chord]) -> float:
    share = chord_tone_share(bass.track, chords)
    return 0.0 if np.isnan(share) else share


def findings(rows: Sequence[Row]) -> str:
    """What the paper found and what these rows say, in words."""
    anchor = {row.system: row for row in rows if row.metric == SHARE and "cfg" not in row.setting}
    said = [
        "The paper judges by a contrastive matcher alone whether the model listens, and has no chords to hold its bass "
        "against.",
        f"Here real bass has a chord-tone share of {with_interval(anchor[REAL])} and the bass of another song "
        f"{with_interval(anchor[OTHER])}.",
    ]
    own, swapped, gains = (
        {row.setting["cfg"]: row for row in rows if (row.system, row.metric) == place and not _tempered(row)}
        for place in ((OWN, SHARE), (SWAPPED, SHARE), (OWN, GAIN))
    )
    for weight, row in sorted(own.items()):
        gain = gains[weight]
        listens = "it listens" if gain.low > 0 else "that it listens is not shown"
        said.append(
            f"At guidance weight {weight:g} the model's is {with_interval(row)}, {row.value / anchor[REAL].value:.2f} "
            f"times the real bass's, and {with_interval(swapped[weight])} with the mixes swapped: {listens} "
            f"(gain {with_interval(gain)})."
        )
    for row in rows:
        if (row.system, row.metric) == (OWN, SHARE) and _tempered(row):
            said.append(
                f"At guidance weight {row.setting['cfg']:g}, started from noise of {row.setting['temperature']:g} of "
                f"the deviation, it is {with_interval(row)}."
            )
    return " ".join(said)


def _tempered(row: Row) -> bool:
    return "temperature" in row.setting


STUDY = Study(
    name=NAME,
    question="Does the model listen?",
    title="Chord-tone share of bass generated for test mixes",
    default=Listening(),
    quick=Listening(clips=6, steps=12),
    full=Listening(),
    columns=("cfg", "temperature"),
    notes=_NOTES,
    findings=findings,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
