"""FAD against the number of DDIM steps (paper, section 5, Figure 2): unconditional samples, and basses for mixes.

    python -m experiments.ddim_steps

The reference is the real bass of the first songs of the test split; every evaluated set holds equally many clips:
samples of the model, or, for the anchors, what can be made of the bass of the songs that follow. So "real bass" is
real bass of other songs, the value that a perfect generator reaches, and every value has the same small-sample bias.
The samples of all numbers of steps start from the same noise. Run it again to go on where it was cut off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import seaborn as sns
import torch
import tyro
from matplotlib.axes import Axes

from bassbench.embedders.registry import EMBEDDERS, protocol
from bassbench.errors import BadInputError, unknown_name
from bassbench.metrics.statistics import Interval
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import CODEC, OTHER, REAL, Anchor
from experiments import figures, playing, studies
from experiments.figures import headline, level_line, panels, plain_numbers
from experiments.player import Player
from experiments.playing import CHORDS, COLLAPSED, FAD, MATCH, Evaluator
from experiments.studies import NOT, NOT_MEASURED, PARTLY, REPRODUCED, Study, Verdict, with_interval
from reference_model.pipeline import Sampling

NAME = "ddim_steps"
UNCONDITIONAL, CONDITIONAL = "reference model, unconditional", "reference model, conditional"
PAPER_STEPS = 64
DIFFERENCE = f"FAD against {PAPER_STEPS} steps"
SECONDS = "seconds a clip"
_METRICS = (FAD, COLLAPSED, MATCH, CHORDS)
_NOTES = (
    playing.NOTES
    + f"""
A set has no pairing, so FAD cannot tell "bass of another song" from "real bass"; match score and chord-tone share can.
The unconditional samples have no mix; theirs are those with the mix whose turn it is. "{DIFFERENCE}": FAD minus that at
{PAPER_STEPS} steps, song by song from the same noise. Seconds: sampling alone, mean over the clips that were played.
"""
)


@dataclass(frozen=True, kw_only=True)
class DDIMSteps(playing.Playing):
    """FAD of unconditional samples against the number of DDIM steps, with anchors.

    Writes ddim_steps.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Numbers of DDIM steps."""
    conditional: bool = False
    """Play for mixes too, at the guidance of `--cfg` and `--phi`."""
    cfg: float = Sampling.cfg
    """Guidance weight of the conditional samples."""
    phi: float = Sampling.phi
    """Rescale of their guided estimate."""
    second_embedder: Annotated[str, tyro.conf.arg(metavar="|".join(EMBEDDERS))] = "log-mel"
    """What FAD is computed on once more."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        if not self.steps or min(self.steps) < 1 or len(set(self.steps)) != len(self.steps):
            raise BadInputError(f"--steps takes different whole numbers from 1, got {' '.join(map(str, self.steps))}")
        if self.second_embedder not in EMBEDDERS:
            raise unknown_name("embedder", self.second_embedder, EMBEDDERS)
        if self.embedder == self.second_embedder:
            raise BadInputError("--second-embedder must be another than --embedder")
        if self.cfg <= 0:
            raise BadInputError(f"--cfg must be above 0, where the mix is heard, got {self.cfg:g}")
        Sampling(cfg=self.cfg, phi=self.phi)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        rows = study(self, *self.evaluator_and_player())
        rows.sort(key=lambda row: ("steps" in row.setting, row.system == CONDITIONAL, row.setting.get("steps", 0)))
        steps_figure(self.output / f"{NAME}.png", rows)
        STUDY.report(rows, self.output)


def study(config: DDIMSteps, evaluator: Evaluator, player: Player) -> list[Row]:
    """All rows of the study, the missing ones measured: anchors first, then each number of steps."""
    evaluator = replace(evaluator, second_embedders=(config.second_embedder,))
    second = replace(evaluator, embedder=config.second_embedder, second_embedders=())
    model = player.model
    how = evaluator.protocol | {"second FAD": protocol(config.second_embedder)}
    # Seconds are comparable on one device and at one batch size only.
    clock = how | {"batch": config.batch_size, "device": model.device.type, "threads": torch.get_num_threads()}
    measurements = studies.Measurements(NAME, len(player.requests), config.seed, how, {SECONDS: clock})
    also = f"{FAD}, {config.second_embedder}"

    def second_fad(name: str, anchor: Anchor) -> Interval:
        return second.fad(second.embed_anchor(name, anchor, codec=studies.codec_setting(model)))

    def measure(advance: studies.Advance, sampling: Sampling) -> list[Interval]:
        heard = playing.play_and_hear(player, evaluator, sampling, advance)
        scores = evaluator.scores(heard)
        found = [scores[metric] for metric in _METRICS]
        found.append(second.fad(playing.embeddings(player, second, sampling)))
        if has_difference(sampling.steps):
            paper = playing.embeddings(player, evaluator, Sampling(PAPER_STEPS, sampling.cfg, sampling.phi))
            found.append(evaluator.fad_difference([one.embedding for one in heard], paper))
        return [*found, Interval(player.seconds_a_clip(sampling), float("nan"), float("nan"))]

    def has_difference(steps: int) -> bool:
        return PAPER_STEPS in config.steps and steps != PAPER_STEPS

    tasks = playing.anchor_tasks(player, evaluator, measurements, _METRICS, {also: second_fad})
    for system, cfg, phi in ((UNCONDITIONAL, 0.0, 0.0), (CONDITIONAL, config.cfg, config.phi)):
        if cfg and not config.conditional:
            continue
        # The paper's number first: all others are compared with it.
        for steps in sorted(config.steps, key=lambda count: (count != PAPER_STEPS, count)):
            setting = {"steps": steps, "cfg": cfg, "phi": phi, "weights": player.weights}
            metrics = [*_METRICS, also, *([DIFFERENCE] if has_difference(steps) else []), SECONDS]
            sampling = Sampling(steps=steps, cfg=cfg, phi=phi)
            tasks.append(measurements.task(system, setting, metrics, partial(measure, sampling=sampling)))
    return measurements.rows(tasks, config.output, device=model.device)


def findings(rows: Sequence[Row]) -> str:
    """What the paper found and what these rows say, in words."""
    said = [f"The paper finds the FAD of unconditional samples lowest at {PAPER_STEPS} of the numbers it tries."]
    for system in (UNCONDITIONAL, CONDITIONAL):
        kinds = {row.metric for row in rows if row.metric == FAD or row.metric.startswith(f"{FAD}, ")}
        for metric in sorted(kinds):
            curve = {row.setting["steps"]: row for row in rows if row.system == system and row.metric == metric}
            if not curve:
                continue
            best = min(curve.values(), key=lambda row: row.value)
            flat = min(steps for steps, row in curve.items() if row.value <= best.high)
            what = f"{system.removeprefix('reference model, ')} samples"
            said.append(
                f"Here the {metric} of {what} is lowest, {with_interval(best, 1)}, at {best.setting['steps']} steps"
                + (f" ({with_interval(curve[PAPER_STEPS], 1)} at {PAPER_STEPS})" if PAPER_STEPS in curve else "")
                + f", and within that interval from {flat} on."
            )
        better = [r.setting["steps"] for r in rows if r.system == system and r.metric == DIFFERENCE and r.high < 0]
        worse = [r.setting["steps"] for r in rows if r.system == system and r.metric == DIFFERENCE and r.low > 0]
        if better or worse:
            said.append(
                f"Song by song, {_list(worse) or 'no number'} of steps is certainly worse than {PAPER_STEPS} and "
                f"{_list(better) or 'none'} certainly better."
            )
    said.append(
        "Reasons to differ: a smaller model, whose error does not come from the number of steps but from itself, is "
        "done at fewer of them; FAD of another embedder; and a minimum among values whose intervals overlap may be "
        "chance, in the paper, which gives no intervals, as here."
    )
    return " ".join(said)


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def steps_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw a panel for each kind of FAD, the match score and the chord-tone share, a line for each way to sample.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    systems = (UNCONDITIONAL, CONDITIONAL)
    kinds = list(dict.fromkeys(row.metric for row in rows if row.system == REAL and row.metric.startswith(FAD)))
    with panels(path, (10.0, 7.4)) as figure:
        for axes, metric in zip(figure.subplots(2, 2).ravel(), (*kinds, MATCH, CHORDS), strict=True):
            found = [row for row in rows if row.metric == metric]
            _draw_steps(axes, [[row for row in found if row.system == system] for system in systems])
            anchors = (REAL, CODEC) if metric in kinds else (REAL, OTHER)
            for row in found:
                if row.system in anchors and math.isfinite(row.value):
                    level_line(axes, row.value, row.system, left=metric in kinds)
            axes.axvline(PAPER_STEPS, color="0.75", linewidth=0.9, linestyle=":", zorder=1)
            _seconds_above(axes, [row for row in rows if row.metric == SECONDS and row.system in systems])
            axes.set_xlabel(f"DDIM steps (dotted: the paper's {PAPER_STEPS})")
            headline(axes, _title(metric, rows))
            axes.legend(loc="best")


def _draw_steps(axes: Axes, curves: Sequence[Sequence[Row]]) -> None:
    colours = sns.color_palette("colorblind", len(curves))
    values = [row.value for curve in curves for row in curve]
    for curve, colour in zip(curves, colours, strict=True):
        if not curve:
            continue
        steps = [row.setting["steps"] for row in curve]
        name = curve[0].system.removeprefix("reference model, ")
        figures.curve(axes, steps, curve, color=colour, label=name)
    figures.doubling_axis(axes, sorted({row.setting["steps"] for curve in curves for row in curve}))
    if min(values) > 0 and max(values) > max(10 * min(values), 1):  # shares and similarities stay linear
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)


def _seconds_above(axes: Axes, clock: Sequence[Row]) -> None:
    """A second axis: what a clip takes at each number of steps, with guidance where there are such rows."""
    slowest: dict[int, float] = {}
    for row in clock:
        slowest[row.setting["steps"]] = max(row.value, slowest.get(row.setting["steps"], 0.0))
    if not slowest:
        return
    above = axes.twiny()
    above.set_xscale("log", base=2)
    above.set_xlim(axes.get_xlim())
    above.set_xticks(sorted(slowest), [f"{slowest[steps]:.2g}" for steps in sorted(slowest)])
    above.minorticks_off()
    above.grid(visible=False)
    above.tick_params(labelsize=7.5, colors="0.35", length=2)
    above.set_xlabel("seconds a clip" + (", with guidance" if _guided(clock) else ""), fontsize=8, color="0.35")


def _guided(clock: Sequence[Row]) -> bool:
    return any(row.setting["cfg"] not in (0, 1) for row in clock)


def _title(metric: str, rows: Sequence[Row]) -> str:
    if metric == FAD:
        return f"FAD ({next(row for row in rows if row.metric == FAD).protocol['FAD'].get('embedder', '')})"
    if metric.startswith(FAD):
        return f"FAD ({metric.removeprefix(FAD + ', ')})"
    return metric[0].upper() + metric[1:]


def fewest_steps(rows: Sequence[Row]) -> Verdict:
    """Claim: FAD of unconditional samples against DDIM steps has its minimum at 64.

    Reproduced if 64 steps have the lowest FAD; partly if no other number is certainly lower, by the difference song by
    song (without such rows: by the interval of 64); not otherwise.
    """
    ours = [row for row in rows if "steps" in row.setting and row.system != "reference model, conditional"]
    found = {row.setting["steps"]: row for row in ours if row.metric == "FAD"}
    if 64 not in found or len(found) < 2:
        return Verdict(NOT_MEASURED)
    best, at_64 = min(found.values(), key=lambda row: row.value), found[64]
    numbers = f"lowest FAD {with_interval(best)} at {best.setting['steps']} steps; {with_interval(at_64)} at 64"
    if best is at_64:
        return Verdict(REPRODUCED, numbers)
    differences = {row.setting["steps"]: row for row in ours if row.metric == "FAD against 64 steps"}
    if not differences:
        return Verdict(PARTLY if at_64.low <= best.value else NOT, numbers)
    lower = sorted(steps for steps, row in differences.items() if row.high < 0)
    numbers += f", a difference of {with_interval(differences[best.setting['steps']])} song by song"
    return Verdict(NOT if lower else PARTLY, numbers)


STUDY = Study(
    name=NAME,
    question="FAD against DDIM steps",
    title="FAD against DDIM steps",
    default=DDIMSteps(),
    quick=DDIMSteps(clips=8, reference_clips=24, steps=(1, 4, 16, 64)),
    full=DDIMSteps(clips=16, steps=(1, 2, 4, 8, 16, 32, 64, 128, 256), conditional=True),
    columns=("steps",),
    notes=_NOTES,
    findings=findings,
    claim="a minimum at 64 steps",
    verdict=fewest_steps,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
