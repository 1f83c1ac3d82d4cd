"""How few evaluations of the network are enough?  DDIM against two samplers of second order (not in the paper).

    python -m experiments.samplers

DDIM, DPM-Solver++(2M) and Heun play for the same test mixes from the same noise, at equal numbers of evaluations of the
guided denoiser. "Latent error": distance of the latents from where DDIM with many steps ends. Run it again to go on
where it was cut off.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import seaborn as sns
import torch
from matplotlib.axes import Axes

from bassbench.errors import BadInputError
from bassbench.metrics.statistics import Interval
from bassbench.results.rows import Row
from bassbench.results.table import require_one_protocol
from bassbench.suite.anchors import CODEC, OTHER, REAL
from experiments import figures, playing, studies
from experiments.figures import headline, level_line, panels, plain_numbers
from experiments.player import Player
from experiments.playing import CHORDS, COLLAPSED, FAD, MATCH, Evaluator
from experiments.studies import Study, with_interval
from reference_model.pipeline import Sampling
from reference_model.sampler import heun_evaluations

NAME = "samplers"
TITLES = {"ddim": "DDIM", "dpm-solver++": "DPM-Solver++(2M)", "heun": "Heun"}
ERROR, SECONDS = "latent error", "seconds a clip"
_ANCHOR_METRICS = (FAD, MATCH, CHORDS, COLLAPSED)
_NOTES = (
    playing.NOTES
    + """
Evaluations: of the guided denoiser; each is two of the network, with the mix and without. Latent error: root mean
square difference from the latents of DDIM with many steps, as a share of their root mean square. Seconds: sampling
alone, without encoding and decoding, mean over the clips of a run.
"""
)


@dataclass(frozen=True, kw_only=True)
class Samplers(playing.Playing):
    """FAD, match score, latent error and seconds of three samplers against network evaluations, with anchors.

    Writes samplers.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    evaluations: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """Numbers of evaluations, even."""
    converged: int = 256
    """DDIM steps after which sampling counts as converged."""
    cfg: float = Sampling.cfg
    """Guidance weight."""
    phi: float = Sampling.phi
    """Rescale of the guided estimate."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        super().validate()
        values = self.evaluations
        if not values or len(set(values)) != len(values) or any(value < 2 or value % 2 for value in values):
            raise BadInputError(f"--evaluations takes different even numbers from 2, got {' '.join(map(str, values))}")
        if self.converged <= max(values):
            raise BadInputError(f"--converged must be above all --evaluations, got {self.converged}")
        Sampling(steps=self.converged, cfg=self.cfg, phi=self.phi)

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        rows = study(self, *self.evaluator_and_player())
        pareto_figure(self.output / f"{NAME}.png", rows)
        STUDY.report(rows, self.output)


@dataclass(frozen=True)
class Converged:
    """Latents of the clips, sampled with many DDIM steps when first needed."""

    player: Player
    sampling: Sampling

    @cached_property
    def latents(self) -> list[torch.Tensor]:
        """Of each batch in order, `(clips, dims, frames)`, on the CPU."""
        count, size = len(self.player.requests), self.player.batch_size
        return [self.player.latents(batch, self.sampling).cpu() for batch in studies.in_batches(count, size)]


def steps_for(sampler: str, evaluations: int) -> int:
    """The steps of a sampler that take an even number of evaluations."""
    steps = evaluations // 2 + 1 if sampler == "heun" else evaluations
    assert sampler != "heun" or heun_evaluations(steps) == evaluations
    return steps


def study(config: Samplers, evaluator: Evaluator, player: Player) -> list[Row]:
    """All rows of the study, the missing ones measured: anchors first, then each sampler's numbers of evaluations."""
    model, requests = player.model, player.requests
    converged = Converged(player, Sampling(steps=config.converged, cfg=config.cfg, phi=config.phi))
    # Seconds are comparable on one device and at one batch size only.
    how = evaluator.protocol | {"converged": f"DDIM, {config.converged} steps"}
    clock = how | {"batch": config.batch_size, "device": model.device.type, "threads": torch.get_num_threads()}
    measurements = studies.Measurements(NAME, len(requests), config.seed, how, {SECONDS: clock})

    def measure(advance: studies.Advance, sampling: Sampling) -> list[Interval]:
        heard, errors, seconds = [], [], 0.0
        # What a device does once, the first time, is not the sampler's.
        player.latents(range(1), Sampling(steps=2, cfg=config.cfg, phi=config.phi, sampler=sampling.sampler))
        for batch, end in zip(studies.in_batches(len(requests), config.batch_size), converged.latents, strict=True):
            began = time.perf_counter()
            latents = player.latents(batch, sampling).cpu()  # waits for the device
            seconds += time.perf_counter() - began
            errors += ((latents - end).square().mean(dim=(1, 2)) / end.square().mean(dim=(1, 2))).sqrt().tolist()
            for index, take in zip(batch, player.decode(batch, latents.to(model.device)), strict=True):
                heard.append(evaluator.hear(index, take.audio, key=player.key(index, sampling), excess=take.excess))
                advance()
        scores = evaluator.scores(heard)
        took = Interval(seconds / len(requests), float("nan"), float("nan"))
        return [*(scores[metric] for metric in _ANCHOR_METRICS), evaluator.mean(errors), took]

    tasks = playing.anchor_tasks(player, evaluator, measurements, _ANCHOR_METRICS)
    for sampler, title in TITLES.items():
        for count in sorted(config.evaluations):
            sampling = Sampling(steps=steps_for(sampler, count), cfg=config.cfg, phi=config.phi, sampler=sampler)
            setting = {"evaluations": count, "cfg": config.cfg, "phi": config.phi, "weights": player.weights}
            metrics = (*_ANCHOR_METRICS, ERROR, SECONDS)
            tasks.append(measurements.task(title, setting, metrics, partial(measure, sampling=sampling)))
    return measurements.rows(tasks, config.output, device=model.device)


def findings(rows: Sequence[Row]) -> str:
    """What the paper found and what these rows say, in words."""
    curves = {(title, metric): _curve(rows, title, metric) for title in TITLES.values() for metric in (FAD, ERROR)}
    last = curves["DDIM", FAD][-1]
    lowest = min((row for title in TITLES.values() for row in curves[title, FAD]), key=lambda row: row.value)
    target = curves["DDIM", ERROR][-1].value
    said = [
        "The paper samples with DDIM alone and finds FAD lowest at 64 steps; it compares no samplers.",
        f"Here DDIM with {last.setting['evaluations']} evaluations reaches FAD {with_interval(last, 1)}; the lowest of "
        f"all is {with_interval(lowest, 1)}, {lowest.system} with {lowest.setting['evaluations']}.",
    ]
    for title in TITLES.values():
        near = [row.setting["evaluations"] for row in curves[title, FAD] if row.value <= last.high]
        close = [row.setting["evaluations"] for row in curves[title, ERROR] if row.value <= target]
        quality = f"stays within that interval from {near[0]} evaluations on" if near else "does not come that near"
        if near and any(row.setting["evaluations"] >= near[0] and row.value > last.high for row in curves[title, FAD]):
            quality = f"first comes within that interval at {near[0]} evaluations"
        exactness = (
            f"its latents are as near the converged ones as DDIM's last from {close[0]} on"
            if close
            else "its latents never come as near the converged ones as DDIM's last"
        )
        said.append(f"{title} {quality}" + ("." if title == "DDIM" else f"; {exactness}."))
    said.append(
        "With images, 10 to 20 evaluations of a second-order sampler match 100 or more of DDIM. Reasons to differ: "
        "guidance bends the trajectory, which higher orders suppose to be smooth, and FAD does not hear small errors."
    )
    return " ".join(said)


def pareto_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw FAD, match score and latent error against evaluations, and FAD against seconds with its Pareto front.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    with panels(path, (10.0, 7.0)) as figure:
        axes = figure.subplots(2, 2).ravel()
        colours = dict(zip(TITLES.values(), sns.color_palette("colorblind", len(TITLES)), strict=True))
        for place, metric in enumerate((FAD, MATCH, ERROR)):
            for title, colour in colours.items():
                found = _curve(rows, title, metric)
                counts = [row.setting["evaluations"] for row in found]
                figures.curve(axes[place], counts, found, shade=0.13, color=colour, label=title)
            figures.doubling_axis(axes[place], counts)
            axes[place].set_xlabel("evaluations of the guided denoiser")
            for row in rows:
                if row.metric == metric and row.system in (REAL, CODEC, OTHER)[:: 2 if metric == MATCH else 1][:2]:
                    level_line(axes[place], row.value, row.system)
        axes[2].set_yscale("log")
        plain_numbers(axes[2].yaxis)
        axes[0].legend(loc="best")
        _draw_front(axes[3], rows, colours)
        titles = ("FAD (lower is better)", "Match score (higher is better)", "Latent error", "FAD against time")
        for panel, text in zip(axes, titles, strict=True):
            headline(panel, text)


def _draw_front(axes: Axes, rows: Sequence[Row], colours: dict) -> None:
    points = []
    for title, colour in colours.items():
        for quality, clock in zip(_curve(rows, title, FAD), _curve(rows, title, SECONDS), strict=True):
            points.append((clock.value, quality.value))
            axes.plot(clock.value, quality.value, "o", color=colour, markersize=5, zorder=3)
            count = str(quality.setting["evaluations"])
            axes.annotate(count, points[-1], (4, 3), textcoords="offset points", fontsize=7, color="0.35")
    front, best = [], float("inf")
    for seconds, value in sorted(points):
        if value < best:
            best = value
            front.append((seconds, value))
    axes.step(*zip(*front, strict=True), where="post", color="0.6", linewidth=1, zorder=2, label="Pareto front")
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set(xlabel="seconds a clip, sampling alone", ylabel="")
    axes.legend(loc="best")


def _curve(rows: Sequence[Row], system: str, metric: str) -> list[Row]:
    found = [row for row in rows if row.system == system and row.metric == metric]
    return sorted(found, key=lambda row: row.setting["evaluations"])


STUDY = Study(
    name=NAME,
    question="Samplers at few evaluations",
    title="Samplers at equal network evaluations",
    default=Samplers(),
    quick=Samplers(clips=8, evaluations=(2, 4, 8, 16), converged=48, reference_clips=24),
    full=Samplers(clips=8),
    columns=("evaluations",),
    notes=_NOTES,
    findings=findings,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
