"""Every study, one after the other, and the page that shows them all.

    python -m experiments.all --quick

Runs each study's own function in this process and writes README.md beside their results: the paper's claims, how our
rows stand to them, every figure, and the command. Run it again to go on where it was cut off; with `--page` it runs no
study and writes the page from the rows that are there.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import tyro

from bassbench.errors import BadInputError, exit_on_bad_input, unknown_name
from experiments import (
    autoencoders,
    cfg_sweep,
    ddim_steps,
    grounding,
    length,
    listening,
    match_matrix,
    match_proof,
    metric_validity,
    samplers,
    studies,
)
from experiments.claims import (
    Judge,
    any_length,
    closer_to_the_style,
    diagonal,
    fewest_steps,
    not_in_the_paper,
    rescale_helps,
)
from experiments.page import SIGN, Entry, write_page

Size = Literal["default", "quick", "full"]


@dataclass(frozen=True)
class Study:
    """A study: its module, its configurations by size, its question, the paper's claim, and the judge of that claim."""

    module: ModuleType
    default: Any
    quick: Any
    full: Any
    question: str
    claim: str = ""
    judge: Judge = not_in_the_paper


STUDIES: dict[str, Study] = {
    ddim_steps.NAME: Study(
        ddim_steps,
        ddim_steps.DDIMSteps(),
        ddim_steps.QUICK,
        ddim_steps.FULL,
        "FAD against DDIM steps",
        "a minimum at 64 steps",
        fewest_steps,
    ),
    cfg_sweep.NAME: Study(
        cfg_sweep,
        cfg_sweep.CFGSweep(),
        cfg_sweep.QUICK,
        cfg_sweep.FULL,
        "Guidance weight and rescaling",
        "above a weight of 2.5, FAD is lower with rescaling",
        rescale_helps,
    ),
    grounding.NAME: Study(
        grounding,
        grounding.Grounding(),
        grounding.QUICK,
        grounding.FULL,
        "Style grounding",
        "distance to the style falls from 0.644 to 0.269 (cosine) and from 0.836 to 0.407 (Euclidean)",
        closer_to_the_style,
    ),
    match_matrix.NAME: Study(
        match_matrix,
        match_matrix.MatchMatrix(),
        match_matrix.QUICK,
        match_matrix.FULL,
        "Match matrix",
        "the diagonal dominates",
        diagonal,
    ),
    length.NAME: Study(
        length,
        length.Length(),
        length.QUICK,
        length.FULL,
        "Beyond the length of training",
        "with the dynamic positional bias the model plays at any length (said, not measured)",
        any_length,
    ),
    listening.NAME: Study(
        listening,
        listening.Listening(),
        listening.QUICK,
        listening.FULL,
        "Does the model listen?",
    ),
    samplers.NAME: Study(samplers, samplers.Samplers(), samplers.QUICK, samplers.FULL, "Samplers at few evaluations"),
    autoencoders.NAME: Study(
        autoencoders,
        autoencoders.Autoencoders(),
        autoencoders.QUICK,
        autoencoders.FULL,
        "What the autoencoders keep",
    ),
    match_proof.NAME: Study(
        match_proof,
        match_proof.MatchProof(),
        match_proof.QUICK,
        match_proof.FULL,
        "What the matcher hears",
    ),
    metric_validity.NAME: Study(
        metric_validity,
        metric_validity.MetricValidity(),
        metric_validity.QUICK,
        metric_validity.FULL,
        "Does each metric see what it is meant to see?",
    ),
}


@dataclass(frozen=True)
class All:
    """Run every study, then write README.md beside their results."""

    quick: bool = False
    """Minutes for each study on two cores."""
    full: bool = False
    """The size of the committed results."""
    page: bool = False
    """Run nothing; write the page from the rows that are there."""
    only: tuple[str, ...] = ()
    """Names of studies to run (default: all); the page shows whatever has results."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""

    @property
    def size(self) -> Size:
        """The size that was asked for."""
        return "quick" if self.quick else "full" if self.full else "default"

    def validate(self) -> None:
        """Raise BadInputError for a study that does not exist, or two sizes at once."""
        if self.quick and self.full:
            raise BadInputError("--quick and --full exclude each other")
        for name in self.only:
            if name not in STUDIES:
                raise unknown_name("study", name, STUDIES)

    def run(self) -> None:
        """Run the studies in order and write the page after each, so that a run cut off has one too."""
        self.validate()
        studies.refuse_other_pages(studies.output_folder(self.output) / "README.md", sign=SIGN)
        entries = {name: entry(name, study, self.size) for name, study in STUDIES.items()}
        for name in () if self.page else self.only or STUDIES:
            configured(STUDIES[name], self.size, self).run()
            write_page(self.output, entries)
        write_page(self.output, entries)


def entry(name: str, study: Study, size: Size) -> Entry:
    """What the page says of a study that was run at a size."""
    has_flag = hasattr(study.module, size.upper())  # a study of one size has none
    command = f"python -m experiments.{name}" + (f" --{size}" if has_flag else "")
    return Entry(command, study.question, study.claim, study.judge, getattr(study.module, "findings", None))


def configured(study: Study, size: Size, options: All) -> Any:
    """A study's configuration of one size, with the options that it shares with all."""
    config = getattr(study, size)
    shared = {"output": options.output, "device": options.device}
    if not isinstance(config, match_proof.MatchProof):  # its weights are the matcher's
        shared["weights"] = options.weights
    fields = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: value for name, value in shared.items() if name in fields})


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m experiments.all`."""
    with exit_on_bad_input():
        tyro.cli(All, description=__doc__, args=arguments).run()


if __name__ == "__main__":
    main()
