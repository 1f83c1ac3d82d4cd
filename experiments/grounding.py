"""Does the bass take the timbre that it is given?  Distances to styles, grounded and not (paper, section 5, Table 1).

    python -m experiments.grounding

For each test mix, the style is the real bass of another song. The model plays for the mix with and without grounding,
from the same noise; then with other strengths, and other exponents of beta (the paper's: strength 1, beta^2); then with
the style clips made 12 dB softer, which must change nothing. Run it again to go on where it was cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from bassbench.errors import BadInputError
from bassbench.metrics.statistics import Interval, mean_interval, statistic_interval
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.songs.arrangement import BASS_PROGRAMS
from experiments import figures, playing, studies
from experiments.figures import headline, level_line, panels
from experiments.player import Player
from experiments.playing import CHORDS, COLLAPSED, FAD, LEVEL, MATCH, Evaluator
from experiments.studies import NOT, NOT_MEASURED, PARTLY, REPRODUCED, Study, Verdict, with_interval
from experiments.styles import ANCHORS, CODEC, COSINE, DIFFERENT, EUCLIDEAN, OTHERS, REAL, SAME, Sounds, Styles
from experiments.timbre import timbre_protocol
from reference_model.pipeline import Sampling

NAME = "grounding"
PLAIN, GROUNDED, SOFTER = "not grounded", "grounded", "grounded, style 12 dB softer"
SOFTER_DECIBELS = -12.0
IDENTIFIED = "style's program"
COSINE_RATIO, EUCLIDEAN_RATIO, MATCH_CHANGE = "cosine ratio", "Euclidean ratio", "match change"
PAPER = {COSINE: (0.269, 0.644), EUCLIDEAN: (0.407, 0.836)}
"""The paper's Table 1: grounded, not grounded."""
_METRICS = (COSINE, EUCLIDEAN, OTHERS, IDENTIFIED, FAD, LEVEL, MATCH, CHORDS, COLLAPSED)
_CHANGES = (COSINE_RATIO, EUCLIDEAN_RATIO, MATCH_CHANGE)
_NOTES = (
    playing.NOTES
    + """
Distances: between the embedding of the style clip and that of the bass, a clip's being the mean over its windows; lower
is nearer. "Cosine to other styles": to the style clips of the other songs. "Style's program": share of basses in which
the classifier hears the program of the style clip, one of eight (0.125 by chance). Ratios: mean distance over the mean
distance without grounding, from the same noise; match change: the difference of match scores to it. "Real bass, style's
program" is the answer that could not be bettered: the right notes in the right timbre.
"""
)


@dataclass(frozen=True, kw_only=True)
class Grounding(playing.Playing):
    """Distances to style clips with and without grounding, its strength and exponent, timbre, match and FAD.

    Writes grounding.jsonl, .csv, .md, .png and each clip's distances in the folder grounding. A second run computes
    nothing twice.
    """

    strength: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Strengths to try beside 0 and 1."""
    exponent: tuple[float, ...] = (0.0, 1.0, 4.0)
    """Exponents of beta to try beside 2, at strength 1."""
    cfg: float = Sampling.cfg
    """Guidance weight."""
    phi: float = Sampling.phi
    """Rescale of the guided estimate."""
    steps: int = 64
    """DDIM steps."""
    timbre_examples: int = 256
    """Real basses that the classifier of the eight programs is fitted on."""

    @property
    def cells(self) -> list[tuple[float, float]]:
        """Strengths with exponents: none, the paper's, then the sweeps."""
        swept = [(strength, 2.0) for strength in sorted(self.strength)] + [(1.0, e) for e in sorted(self.exponent)]
        return list(dict.fromkeys([(0.0, 2.0), (1.0, 2.0), *swept]))

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if len(self.cells) != 2 + len(self.strength) + len(self.exponent):
            raise BadInputError("--strength takes different numbers beside 0 and 1, --exponent beside 2")
        for strength, exponent in self.cells:
            Sampling(self.steps, self.cfg, self.phi, grounding=strength, grounding_exponent=exponent)
        if self.timbre_examples < 4 * len(BASS_PROGRAMS):
            raise BadInputError(f"--timbre-examples must be at least {4 * len(BASS_PROGRAMS)}")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        rows, drawn = study(self, *self.evaluator_and_player())
        grounding_figure(self.output / f"{NAME}.png", rows, drawn)
        STUDY.report(rows, self.output)


Distances = dict[str, list[float]]
"""The values of each clip, by metric: what ratios and the figure are made of."""


@dataclass(frozen=True)
class Drawn:
    """The values of the clips, by metric, of one system and setting."""

    system: str
    setting: dict[str, Any]
    values: dict[str, list[float]]

    @property
    def is_swept(self) -> bool:
        """Whether this is one of a sweep, and not the paper's grounding, none, or an anchor."""
        place = self.setting.get("strength"), self.setting.get("exponent")
        return place not in ((None, None), (0, 2), (1, 2))


def study(config: Grounding, evaluator: Evaluator, player: Player) -> tuple[list[Row], list[Drawn]]:
    """All rows of the study, the missing ones measured, and the distances of the clips of each system and setting."""
    styles = Styles(evaluator, config.timbre_examples)
    how = evaluator.protocol | {
        "style": f"real bass of another song, one cycle through all, seed {config.seed}; at the level of training",
        "timbre": timbre_protocol(config.timbre_examples),
    }
    measurements = studies.Measurements(NAME, len(player.requests), config.seed, how)

    def measure(
        advance: studies.Advance, sounds: Callable[[], Sounds], file: Path, plain: Path | None
    ) -> list[Interval]:
        heard, identified = [], []
        for index, (audio, key) in enumerate(sounds()):
            heard.append(evaluator.hear(index, audio, key=key))
            identified.append(styles.identified(index, audio, key))
            advance()
        distances = styles.distances(heard) | {IDENTIFIED: identified, MATCH: [one.match for one in heard]}
        scores = evaluator.scores(heard) | {metric: evaluator.mean(values) for metric, values in distances.items()}
        found = [scores[metric] for metric in _METRICS]
        if plain is not None:
            found += changes(distances, studies.kept_values(plain), config.seed)
        studies.keep_values(file, {name: np.round(list_, 5).tolist() for name, list_ in distances.items()})
        return found

    tasks, files = [], []

    def add(system: str, setting: dict, sounds: Callable[[], Sounds], plain: Path | None = None) -> Path:
        wanted = measurements.of(system, setting, _METRICS if plain is None else (*_METRICS, *_CHANGES))
        # The values of the clips are kept beside the rows, under the key of the first.
        file = config.output / NAME / f"{wanted[0].key}.json"
        tasks.append(studies.Task(wanted, partial(measure, sounds=sounds, file=file, plain=plain)))
        files.append(file)
        return file

    for name in ANCHORS:
        add(
            name,
            studies.codec_setting(player.model) if name == CODEC else {},
            partial(styles.anchor, name, player.model),
        )
    plain: Path | None = None
    for strength, exponent in config.cells:
        sampling = Sampling(config.steps, config.cfg, config.phi, grounding=strength, grounding_exponent=exponent)
        setting = {"cfg": config.cfg, "phi": config.phi, "steps": config.steps, "weights": player.weights}
        setting |= {"strength": strength, "exponent": exponent}
        system = GROUNDED if strength else PLAIN
        file = add(system, setting, partial(styles.played, player, sampling), plain)
        plain = plain or file
    paper = Sampling(config.steps, config.cfg, config.phi)
    setting = {"cfg": config.cfg, "phi": config.phi, "steps": config.steps, "weights": player.weights}
    add(SOFTER, setting, partial(styles.played, player, paper, SOFTER_DECIBELS), plain)
    rows = measurements.rows(tasks, config.output, device=player.model.device)
    named = [(task.measurements[0].system, task.measurements[0].setting) for task in tasks]
    return rows, [Drawn(*about, studies.kept_values(file)) for about, file in zip(named, files, strict=True)]


def changes(distances: Distances, plain: Distances, seed: int) -> list[Interval]:
    """Ratios of mean distances, cosine and Euclidean, and the mean change of the match score, clip by clip."""
    ratios = []
    for metric in (COSINE, EUCLIDEAN):
        now, before = np.array(distances[metric]), np.array(plain[metric])

        def ratio(drawn: np.ndarray, now: np.ndarray = now, before: np.ndarray = before) -> float:
            whole = before[drawn].mean()
            return float(now[drawn].mean() / whole) if whole > 0 else float("nan")

        ratios.append(statistic_interval(ratio, len(now), generator=np.random.default_rng(seed)))
    gained = np.array(distances[MATCH]) - np.array(plain[MATCH])
    return [*ratios, mean_interval(gained, generator=np.random.default_rng(seed))]


def findings(rows: Sequence[Row]) -> str:
    """What the paper found and what these rows say, in words."""

    def row(system: str, metric: str) -> Row:
        """Of an anchor, without grounding, or with the paper's."""
        own = (r for r in rows if r.system == system and r.metric == metric)
        return next(r for r in own if system != GROUNDED or (r.setting["strength"], r.setting["exponent"]) == (1, 2))

    said = [
        "The paper finds (Table 1) a cosine distance of {:g} grounded against {:g} not, and a Euclidean one of {:g} "
        "against {:g}: ratios of {:.2f} and {:.2f}.".format(
            *PAPER[COSINE], *PAPER[EUCLIDEAN], *(PAPER[metric][0] / PAPER[metric][1] for metric in PAPER)
        )
    ]
    for metric, ratio in ((COSINE, COSINE_RATIO), (EUCLIDEAN, EUCLIDEAN_RATIO)):
        found, wanted = row(GROUNDED, ratio), PAPER[metric][0] / PAPER[metric][1]
        reached = "reached" if found.value <= wanted else "not reached"
        surely = "" if not found.low <= wanted <= found.high else ", within the interval"
        said.append(
            f"Here the {metric} is {row(GROUNDED, metric).value:.3f} against {row(PLAIN, metric).value:.3f}, a ratio "
            f"of {with_interval(found)}: the paper's is {reached}{surely}. "
            f"The right notes in the style's program lie at {row(SAME, metric).value:.3f}, a ratio of "
            f"{row(SAME, metric).value / row(PLAIN, metric).value:.2f}."
        )
    said.append(
        f"The style's program is recognised in {row(GROUNDED, IDENTIFIED).value:.0%} of the grounded basses and "
        f"{row(PLAIN, IDENTIFIED).value:.0%} of the others ({row(CODEC, IDENTIFIED).value:.0%} of the style clips "
        f"through the codec, {row(SAME, IDENTIFIED).value:.0%} of real bass played with the program)."
    )
    match, plain, ours = row(GROUNDED, MATCH_CHANGE), row(PLAIN, FAD), row(GROUNDED, FAD)
    effect = "costs" if match.high < 0 else "gains" if match.low > 0 else "changes nothing certain of"
    said.append(
        f"Grounding {effect} the match with the mix ({with_interval(match)}); FAD is {with_interval(ours, 1)} against "
        f"{with_interval(plain, 1)}."
    )
    levels = {system: row(system, LEVEL).value for system in (GROUNDED, SOFTER)}
    said.append(
        f"Style clips made {-SOFTER_DECIBELS:g} dB softer move the level of the bass from {levels[GROUNDED]:.1f} to "
        f"{levels[SOFTER]:.1f} dB against the real one."
    )
    said.append(
        "Reasons to differ: another embedder, which sets the scale of the distances; and style clips of eight rendered "
        "programs, nearer to each other than recorded basses: of what lies between two basses much is their notes."
    )
    return " ".join(said)


_STRENGTH, _EXPONENT = "strength, at beta²", "exponent of beta, at strength 1"


def grounding_figure(path: Path, rows: Sequence[Row], drawn: Sequence[Drawn]) -> None:
    """Draw the distances of each system's clips, and cosine distance and timbre against match for the sweeps.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    order = [CODEC, SAME, GROUNDED, PLAIN, DIFFERENT, REAL]
    shown = {one.system: one.values for one in drawn if not one.is_swept and one.system in order}
    with panels(path, (10.0, 7.4)) as figure:
        grid = figure.add_gridspec(2, 2, height_ratios=[1.15, 1])
        first = figure.add_subplot(grid[0, 0])
        second = figure.add_subplot(grid[0, 1], sharey=first)
        for axes, metric in ((first, COSINE), (second, EUCLIDEAN)):
            _distributions(axes, {name: shown[name][metric] for name in order}, emphasised=(GROUNDED, PLAIN))
            axes.set_xlabel(f"{metric} to the style clip")
            headline(axes, metric.capitalize() if metric == COSINE else metric)
        second.tick_params(labelleft=False)
        swept = [row for row in rows if "strength" in row.setting]
        _sweep(figure.add_subplot(grid[1, 0]), swept)
        _trade(figure.add_subplot(grid[1, 1]), rows, swept)


def _distributions(axes: Axes, values: dict[str, list[float]], emphasised: Sequence[str]) -> None:
    """Every clip as a dot, the quartiles as a box with the median, the mean as a diamond; one line a system."""
    accent = sns.color_palette("colorblind")[0]
    for place, (name, numbers) in enumerate(values.items()):
        colour = accent if name in emphasised else "0.55"
        jitter = np.random.default_rng(place).uniform(-0.16, 0.16, len(numbers))
        axes.plot(numbers, place + jitter, "o", color=colour, markersize=3, alpha=0.55, markeredgewidth=0)
        low, median, high = np.quantile(numbers, [0.25, 0.5, 0.75])
        axes.barh(place, high - low, left=low, height=0.5, color=colour, alpha=0.18, linewidth=0)
        axes.plot([median, median], [place - 0.25, place + 0.25], color="0.2", linewidth=1.2)
        axes.plot(np.mean(numbers), place, "D", color=colour, markersize=5, markeredgecolor="white", zorder=4)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")


def _curves(swept: Sequence[Row], metric: str) -> dict[str, list[tuple[float, Row]]]:
    found = [row for row in swept if row.metric == metric]
    strengths = [(row.setting["strength"], row) for row in found if row.setting["exponent"] == 2]
    exponents = [(row.setting["exponent"], row) for row in found if row.setting["strength"] == 1]
    return {
        _STRENGTH: sorted(strengths, key=lambda item: item[0]),
        _EXPONENT: sorted(exponents, key=lambda item: item[0]),
    }


def _sweep(axes: Axes, swept: Sequence[Row]) -> None:
    """Mean distance and share of clips with the style's program against the strength."""
    colours = sns.color_palette("colorblind")
    names = {COSINE: COSINE, IDENTIFIED: "takes the style's program"}
    for (metric, name), colour in zip(names.items(), colours, strict=False):
        found = _curves(swept, metric)[_STRENGTH]
        figures.curve(axes, [place for place, _ in found], [row for _, row in found], color=colour, label=name)
    level_line(axes, 1 / len(BASS_PROGRAMS), "program by chance")
    axes.set_ylim(0, None)
    axes.set(xlabel="strength of grounding (0: none)", ylabel="distance; share of clips")
    axes.legend(loc="best")
    headline(axes, "What the strength does")


def _trade(axes: Axes, rows: Sequence[Row], swept: Sequence[Row]) -> None:
    """Match score against cosine distance, a point for each strength and each exponent."""
    colours = dict(zip((_STRENGTH, _EXPONENT), sns.color_palette("colorblind")[2:], strict=False))
    matches = _curves(swept, MATCH)
    for name, curve in _curves(swept, COSINE).items():
        points = [(row.value, match.value) for (_, row), (_, match) in zip(curve, matches[name], strict=True)]
        axes.plot(*zip(*points, strict=True), "o-", color=colours[name], markersize=4, linewidth=1, label=name)
        for (place, _), point in zip(curve, points, strict=True):
            shift = (4, 4) if name == _STRENGTH else (4, -10)
            axes.annotate(f"{place:g}", point, shift, textcoords="offset points", fontsize=7, color=colours[name])
    for system in (SAME, REAL):
        across, up = (
            next(row.value for row in rows if row.system == system and row.metric == m) for m in (COSINE, MATCH)
        )
        axes.plot(across, up, "D", color="0.5", markersize=5)
        axes.annotate(system, (across, up), (5, -10), textcoords="offset points", fontsize=7.5, color="0.35")
    axes.set(xlabel=f"{COSINE} (lower is nearer to the style)", ylabel=f"{MATCH} (higher fits the mix better)")
    axes.margins(0.12)
    axes.legend(loc="best")
    headline(axes, "Style against fit")


def closer_to_the_style(rows: Sequence[Row]) -> Verdict:
    """Claim: grounded over ungrounded distance to the style is 0.269 / 0.644 (cosine) and 0.407 / 0.836 (Euclidean).

    At the paper's strength 1 and exponent 2. Reproduced if both of our ratios are at most the paper's; partly if both
    intervals lie below 1.
    """
    ratios = {COSINE: COSINE_RATIO, EUCLIDEAN: EUCLIDEAN_RATIO}
    paper = {ratios[metric]: grounded / plain for metric, (grounded, plain) in PAPER.items()}
    like_the_paper = [row for row in rows if (row.setting.get("strength"), row.setting.get("exponent")) == (1, 2)]
    best = {row.metric: row for row in like_the_paper if row.metric in paper}
    if len(best) < len(paper):
        return Verdict(NOT_MEASURED)
    numbers = "; ".join(f"{name} {with_interval(row)}, the paper's {paper[name]:.2f}" for name, row in best.items())
    if all(row.value <= paper[name] for name, row in best.items()):
        return Verdict(REPRODUCED, numbers)
    return Verdict(PARTLY if all(row.high < 1 for row in best.values()) else NOT, numbers)


STUDY = Study(
    name=NAME,
    question="Style grounding",
    title="Style grounding: distance to the style clip",
    default=Grounding(),
    quick=Grounding(clips=8, strength=(0.5,), exponent=(0.0,), steps=12, timbre_examples=64, reference_clips=24),
    full=Grounding(clips=12, exponent=(0.0, 0.5, 1.0, 4.0, 8.0), timbre_examples=192),
    columns=("strength", "exponent"),
    notes=_NOTES,
    findings=findings,
    claim="distance to the style falls from 0.644 to 0.269 (cosine) and from 0.836 to 0.407 (Euclidean)",
    verdict=closer_to_the_style,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
