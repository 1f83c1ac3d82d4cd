"""What guidance does: FAD, level, clipping, match and chord tones against its weight and rescale (paper, section 5).

    python -m experiments.cfg_sweep

A bass is played for each test mix at every weight w and rescale phi, always from the same noise; at w = 0 (no mix) and
w = 1 (the plain conditional model) there is nothing to rescale. Run it again to go on where it was cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from bassbench.errors import BadInputError
from bassbench.metrics.statistics import Interval
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import CODEC, REAL
from experiments import figures, playing, studies
from experiments.figures import headline, level_line, panels, plain_numbers
from experiments.player import Player
from experiments.playing import CHORDS, CLIPPING, COLLAPSED, FAD, LEVEL, MATCH, Evaluator
from experiments.studies import NOT, NOT_MEASURED, PARTLY, REPRODUCED, Study, Verdict, with_interval
from reference_model.pipeline import Sampling

NAME = "cfg_sweep"
SYSTEM = "reference model"
DIFFERENCE = "FAD gained by rescale"
_METRICS = (FAD, LEVEL, CLIPPING, MATCH, CHORDS, COLLAPSED)
_PAPER_WEIGHT = 2.5
_NOTES = (
    playing.NOTES
    + """
All cells are measured, on few clips each, which makes FAD's bias and intervals large; comparisons between cells, which
share songs and noise, are sharper than the cells' intervals. "FAD gained by rescale": FAD at this phi minus FAD at phi
0, song by song from the same noise; rescaling helps where the interval lies below 0.
"""
)


@dataclass(frozen=True, kw_only=True)
class CFGSweep(playing.Playing):
    """FAD, level, clipping, match score and chord-tone share against guidance weight and rescale, with anchors.

    Writes cfg_sweep.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    cfg: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
    """Guidance weights."""
    phi: tuple[float, ...] = (0.0, 0.5, 1.0)
    """Rescales, 0 among them."""
    steps: int = 64
    """DDIM steps."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        for name, values in (("--cfg", self.cfg), ("--phi", self.phi)):
            if not values or len(set(values)) != len(values) or not all(0 <= value < np.inf for value in values):
                raise BadInputError(f"{name} takes different numbers from 0, got {' '.join(map(str, values))}")
        if 0 not in self.phi:
            raise BadInputError("--phi must hold 0: what rescaling gains is measured against it")
        for phi in self.phi:
            Sampling(steps=self.steps, phi=phi)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        rows = study(self, *self.evaluator_and_player())
        safety_figure(self.output / f"{NAME}.png", rows)
        STUDY.report(rows, self.output)


def study(config: CFGSweep, evaluator: Evaluator, player: Player) -> list[Row]:
    """All rows of the study, the missing ones measured: anchors first, then each weight with its rescales."""
    measurements = studies.Measurements(NAME, len(player.requests), config.seed, evaluator.protocol)

    def measure(advance: studies.Advance, sampling: Sampling) -> list[Interval]:
        heard = playing.play_and_hear(player, evaluator, sampling, advance)
        scores = evaluator.scores(heard)
        found = [scores[metric] for metric in _METRICS]
        if sampling.phi:
            plain = Sampling(steps=sampling.steps, cfg=sampling.cfg, phi=0.0)
            without = playing.embeddings(player, evaluator, plain)
            found.append(evaluator.fad_difference([one.embedding for one in heard], without))
        return found

    tasks = playing.anchor_tasks(player, evaluator, measurements, _METRICS)
    for cfg, phi in cells(config.cfg, config.phi):
        metrics = (*_METRICS, DIFFERENCE) if phi else _METRICS
        setting = {"cfg": cfg, "phi": phi, "steps": config.steps, "weights": player.weights}
        sampling = Sampling(steps=config.steps, cfg=cfg, phi=phi)
        tasks.append(measurements.task(SYSTEM, setting, metrics, partial(measure, sampling=sampling)))
    return measurements.rows(tasks, config.output, device=player.model.device)


def cells(cfg: Sequence[float], phi: Sequence[float]) -> list[tuple[float, float]]:
    """Weights with rescales, 0 first; only 0 where there is nothing to rescale."""
    return [(w, p) for w in sorted(cfg) for p in sorted(phi) if p == 0 or w not in (0, 1)]


def findings(rows: Sequence[Row]) -> str:
    """What the paper found and what these rows say, in words."""
    ours = [row for row in rows if row.system == SYSTEM]
    best = min((row for row in ours if row.metric == FAD), key=lambda row: row.value)
    real = next(row for row in rows if row.system == REAL and row.metric == FAD)
    collapsed = [row for row in ours if row.metric == COLLAPSED and row.value > 0]
    said = [
        f"The paper finds rescaled guidance better than plain above a weight of {_PAPER_WEIGHT:g}; if only the sign of "
        f"the equation that it prints is a misprint, that is a w of {_PAPER_WEIGHT + 1:g} here.",
        f"Here FAD is lowest, {with_interval(best, 1)}, at weight {best.setting['cfg']:g} with phi "
        f"{best.setting['phi']:g} (real bass of other songs: {with_interval(real, 1)}).",
    ]
    for phi in sorted({row.setting["phi"] for row in ours} - {0}):
        said.append(rescale_text(phi, [row for row in ours if row.metric == DIFFERENCE and row.setting["phi"] == phi]))
    if collapsed:
        worst = max(collapsed, key=lambda row: row.value)
        first = min(row.setting["cfg"] for row in collapsed)
        said.append(
            f"Clips collapse in {len(collapsed)} of {len([r for r in ours if r.metric == COLLAPSED])} cells, the first "
            f"at weight {first:g}; most at weight {worst.setting['cfg']:g} with phi {worst.setting['phi']:g} "
            f"({worst.value:.0%})."
        )
    else:
        said.append("No clip collapses in any cell.")
    said.append(
        "Reasons to differ: FAD of another embedder and on rendered songs, a smaller model, and w, which counts 1 as "
        "the plain conditional model where the paper's lambda is written differently."
    )
    return " ".join(said)


def rescale_text(phi: float, rows: Sequence[Row]) -> str:
    """Whether and from which weight on rescaling helps, from the rows of the paired difference at one phi."""
    rows = sorted(rows, key=lambda row: row.setting["cfg"])
    helps = [row.setting["cfg"] for row in rows if row.high < 0]
    harms = [row.setting["cfg"] for row in rows if row.low > 0]
    if not helps and not harms:
        return f"Rescaling with phi {phi:g} makes no certain difference at any weight."
    if not helps:
        return f"Rescaling with phi {phi:g} helps at no weight and harms at {_list(harms)}."
    # From where on it helps at every weight that was tried.
    onset = None
    for row in reversed(rows):
        if row.high >= 0:
            break
        onset = row.setting["cfg"]
    where = f"from weight {onset:g} on" if onset is not None else f"at weight {_list(helps)}, not beyond"
    if onset == rows[-1].setting["cfg"]:
        where = f"at weight {onset:g}, the highest tried"
    strongest = min(rows, key=lambda row: row.value)
    return (
        f"Rescaling with phi {phi:g} helps {where} (most at weight {strongest.setting['cfg']:g}: FAD changes by "
        f"{with_interval(strongest, 1)})" + (f" and harms at {_list(harms)}." if harms else ".")
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


# Metric, colours (dark is bad), and the ends of the colour scale where they do not follow from the values.
_MAPS = (
    (COLLAPSED, "rocket_r", (0.0, 1.0), "{:.0%}"),
    (CLIPPING, "rocket_r", (0.0, None), "{:.1%}"),
    (LEVEL, "vlag", None, "{:+.1f}"),
    (FAD, "rocket_r", None, "{:.0f}"),
    (MATCH, "rocket", None, "{:.2f}"),
    (CHORDS, "rocket", None, "{:.2f}"),
)
_NAMES = {
    COLLAPSED: "collapsed clips",
    CLIPPING: "samples beyond full scale",
    LEVEL: "level against the real bass, dB",
}


def safety_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw FAD against "cfg" with one line for each "phi", and a map of every metric over both.

    A weight that was measured at phi 0 only (there is nothing to rescale) counts for every phi.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    ours = [row for row in rows if row.system == SYSTEM]
    found = {(row.metric, row.setting["cfg"], row.setting["phi"]): row for row in ours}
    weights, phis = (sorted({row.setting[name] for row in ours}) for name in ("cfg", "phi"))

    def cell(metric: str, weight: float, phi: float) -> Row:
        return found.get((metric, weight, phi)) or found[metric, weight, 0.0]

    with panels(path, (10.0, 8.2)) as figure:
        grid = figure.add_gridspec(3, 3, height_ratios=[1.7, 1, 1])
        curves = {phi: [cell(FAD, weight, phi) for weight in weights] for phi in phis}
        lines = [row for row in rows if row.metric == FAD and row.system in (REAL, CODEC)]
        _draw_curves(figure.add_subplot(grid[0, :]), weights, curves, lines)
        for place, (metric, colours, ends, text) in enumerate(_MAPS):
            axes = figure.add_subplot(grid[1 + place // 3, place % 3])
            values = np.array([[cell(metric, weight, phi).value for weight in weights] for phi in reversed(phis)])
            low, high = ends or (None, None)
            if metric == LEVEL:
                high = max(float(np.abs(values).max()), 1.0)
                low = -high
            elif metric == CLIPPING:
                high = max(float(values.max()), 0.01)
            cells = [[text.format(value) for value in line] for line in values]
            sns.heatmap(
                values,
                ax=axes,
                cmap=colours,
                vmin=low,
                vmax=high,
                annot=cells,
                fmt="",
                annot_kws={"fontsize": 6.5},
                cbar=False,
                linewidths=0.6,
                xticklabels=[f"{weight:g}" for weight in weights],
                yticklabels=[f"{phi:g}" for phi in reversed(phis)],
            )
            axes.tick_params(left=False, bottom=False, labelrotation=0)
            axes.set(xlabel="guidance weight" if place > 2 else "", ylabel="phi" if place % 3 == 0 else "")
            name = _NAMES.get(metric, metric)
            axes.set_title(name[0].upper() + name[1:], loc="left", fontweight="bold")


def _draw_curves(axes: Axes, weights: Sequence[float], curves: dict[float, list[Row]], anchors: Sequence[Row]) -> None:
    values = [row.value for line in curves.values() for row in line]
    if min(values) > 0 and max(values) / min(values) > 10:
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    for (phi, line), colour in zip(curves.items(), sns.color_palette("viridis_r", len(curves)), strict=True):
        figures.curve(axes, weights, line, shade=0.13, color=colour, label=f"phi {phi:g}")
    for row in anchors:
        level_line(axes, row.value, row.system)
    embedder = next(iter(curves.values()))[0].protocol["FAD"].get("embedder", "")
    axes.set(xlabel="guidance weight (0: no mix, 1: plain conditional)", ylabel=f"FAD ({embedder}, lower is better)")
    axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
    axes.margins(x=0.02)
    axes.legend(loc="best")
    headline(axes, "FAD against guidance weight and rescale")


def rescale_helps(rows: Sequence[Row]) -> Verdict:
    """Claim: above a guidance weight of 2.5, FAD is lower with rescale than without.

    Of the rescale that helps at most weights. Reproduced if FAD, song by song, is certainly lower at every weight above
    2.5; partly if at some; not if at none. The paper prints c + lambda (u - c): if only the sign is a misprint, its 2.5
    is our w = 1 + lambda = 3.5, so what holds above that is said too. If lambda is the usual weight, it is our w = 2.5.
    """
    above = [row for row in rows if row.metric == "FAD gained by rescale" and row.setting["cfg"] > 2.5]
    if not above:
        return Verdict(NOT_MEASURED)

    def helped(phi: float) -> list[Row]:
        return [row for row in above if row.setting["phi"] == phi and row.high < 0]

    phi = max(sorted({row.setting["phi"] for row in above}), key=lambda phi: len(helped(phi)))
    tried = sorted(row.setting["cfg"] for row in above if row.setting["phi"] == phi)
    strongest = min((row for row in above if row.setting["phi"] == phi), key=lambda row: row.value)
    beyond = sum(row.setting["cfg"] > 3.5 for row in helped(phi)), sum(weight > 3.5 for weight in tried)
    numbers = (
        f"phi {phi:g}: FAD certainly lower at {len(helped(phi))} of {len(tried)} weights above 2.5, changed by "
        f"{with_interval(strongest)} at {strongest.setting['cfg']:g}; at {beyond[0]} of {beyond[1]} above 3.5, "
        "the paper's 2.5 if only the sign of its equation is a misprint"
    )
    return Verdict(REPRODUCED if len(helped(phi)) == len(tried) else PARTLY if helped(phi) else NOT, numbers)


STUDY = Study(
    name=NAME,
    question="Guidance weight and rescaling",
    title="Guidance weight and rescale",
    default=CFGSweep(),
    quick=CFGSweep(clips=8, cfg=(0.0, 1.0, 2.5, 5.0, 10.0), steps=12, reference_clips=24),
    full=CFGSweep(clips=8, cfg=(0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 10.0), phi=(0.0, 0.25, 0.5, 0.75, 1.0)),
    columns=("cfg", "phi"),
    notes=_NOTES,
    findings=findings,
    claim="above a weight of 2.5, FAD is lower with rescaling",
    verdict=rescale_helps,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
