"""Every study, one after the other, and the page that shows them all.

    python -m experiments.all --quick

Runs each study's own function in this process and writes README.md beside their results: every figure, what the paper
found, how our rows stand to it, and the command. Run it again to go on where it was cut off.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.files import write_text
from bassbench.rows import RowStore
from experiments import (
    autoencoders,
    cfg_sweep,
    ddim_steps,
    grounding,
    listening,
    match_matrix,
    match_proof,
    metric_validity,
    samplers,
)
from experiments.claims import Judge, closer_to_the_style, diagonal, fewest_steps, not_in_the_paper, on_its_page
from reference_model import studies

Size = Literal["default", "quick", "full"]


@dataclass(frozen=True)
class Study:
    """A study: its configurations by size, its question, the paper's claim, and the judge of that claim."""

    default: Any
    quick: Any
    full: Any
    question: str
    claim: str
    judge: Judge


STUDIES: dict[str, Study] = {
    ddim_steps.NAME: Study(
        ddim_steps.DDIMSteps(),
        ddim_steps.QUICK,
        ddim_steps.FULL,
        "FAD against DDIM steps",
        "a minimum at 64 steps",
        fewest_steps,
    ),
    cfg_sweep.NAME: Study(
        cfg_sweep.CFGSweep(),
        cfg_sweep.QUICK,
        cfg_sweep.FULL,
        "Guidance weight and rescaling",
        "rescaling keeps FAD low at high weights",
        on_its_page,
    ),
    grounding.NAME: Study(
        grounding.Grounding(),
        grounding.QUICK,
        grounding.FULL,
        "Style grounding",
        "distance to the style falls from 0.644 to 0.269 (cosine) and from 0.836 to 0.407 (Euclidean)",
        closer_to_the_style,
    ),
    match_matrix.NAME: Study(
        match_matrix.MatchMatrix(),
        match_matrix.MatchMatrix(clips=8, steps=12),
        match_matrix.MatchMatrix(),
        "Match matrix",
        "the diagonal dominates",
        diagonal,
    ),
    listening.NAME: Study(
        listening.Listening(),
        listening.Listening(clips=6, steps=12),
        listening.Listening(),
        "Does the model listen?",
        "",
        not_in_the_paper,
    ),
    samplers.NAME: Study(
        samplers.Samplers(), samplers.QUICK, samplers.FULL, "Samplers at few evaluations", "", not_in_the_paper
    ),
    autoencoders.NAME: Study(
        autoencoders.Autoencoders(),
        autoencoders.QUICK,
        autoencoders.FULL,
        "What the autoencoders keep",
        "",
        not_in_the_paper,
    ),
    match_proof.NAME: Study(
        match_proof.MatchProof(),
        match_proof.MatchProof(test=6, human=4),
        match_proof.MatchProof(),
        "What the matcher hears",
        "",
        not_in_the_paper,
    ),
    metric_validity.NAME: Study(
        metric_validity.MetricValidity(),
        metric_validity.QUICK,
        metric_validity.FULL,
        "Does each metric see what it is meant to see?",
        "",
        not_in_the_paper,
    ),
}


@dataclass(frozen=True)
class All:
    """Run every study, then write README.md beside their results."""

    quick: bool = False
    """Minutes for each study on two cores."""
    full: bool = False
    """The size of the committed results."""
    only: tuple[str, ...] = ()
    """Names of studies to run (default: all); the page shows whatever has results."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    output: Path = Path("results")
    """Folder for the results."""
    weights: str = "small"
    """The model: a name of shipped weights, or a folder."""

    def validate(self) -> None:
        """Raise BadInputError for a study that does not exist, or two sizes at once."""
        if self.quick and self.full:
            raise BadInputError("--quick and --full exclude each other")
        unknown = [name for name in self.only if name not in STUDIES]
        if unknown:
            raise BadInputError(f"no study '{unknown[0]}'; --only takes {', '.join(STUDIES)}")

    def run(self) -> None:
        """Run the studies in order and write the page after each, so that a run cut off has one too."""
        self.validate()
        studies.output_folder(self.output)
        size: Size = "quick" if self.quick else "full" if self.full else "default"
        for name in self.only or STUDIES:
            configured(STUDIES[name], size, self).run()
            write_page(self.output, size)


def configured(study: Study, size: Size, options: All) -> Any:
    """A study's configuration of one size, with the options that it shares with all."""
    config = getattr(study, size)
    shared = {"output": options.output, "device": options.device}
    if not isinstance(config, match_proof.MatchProof):  # its weights are the matcher's
        shared["weights"] = options.weights
    fields = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: value for name, value in shared.items() if name in fields})


def write_page(folder: Path, size: Size) -> None:
    """Write README.md: the table of claims, then every figure with its command; studies without rows are left out.

    Raises:
        BadInputError: rows cannot be read, or the page cannot be written.
    """
    flag = "" if size == "default" else f" --{size}"
    claims = ["| study | what the paper found | our rows | numbers |", "|---|---|---|---|"]
    sections: list[str] = []
    for name, study in STUDIES.items():
        rows = RowStore(folder / f"{name}.jsonl").rows()
        if not rows:
            continue
        verdict = study.judge(rows)
        link = f"[{study.question}]({name}.md)"
        claims.append(f"| {link} | {study.claim or 'not measured'} | {verdict.word} | {verdict.numbers or '-'} |")
        sections += ["", f"## {study.question}", "", f"`python -m experiments.{name}{flag}`"]
        if (folder / f"{name}.png").exists():
            sections += ["", f"[![{study.question}]({name}.png)]({name}.md)"]
    text = "\n".join([_HEAD.strip(), "", *claims, *sections, "", _FOOT.strip(), ""])
    write_text(folder / "README.md", text)


_HEAD = """
# Results

Written by `python -m experiments.all`. Each study is one command; its rows (`.jsonl`, with provenance), table (`.csv`,
`.md`) and figure (`.png`) lie here. Run a command again and it computes only what is missing. Brackets: 95 % confidence
interval.
"""
_FOOT = """
Music of the bank is sequenced, from one SoundFont; these figures compare systems and settings on it.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m experiments.all`."""
    with exit_on_bad_input():
        tyro.cli(All, description=__doc__, args=arguments).run()


if __name__ == "__main__":
    main()
