"""Every study, one after the other, and the page that shows them all.

    python -m experiments.all --quick

Runs each study's own function in this process and writes README.md beside their results: the paper's claims, how our
rows stand to them, every figure, and the command. Run it again to go on where it was cut off; with `--page` it runs no
study and writes the page from the rows that are there.
"""

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import tyro

from bassbench.errors import BadInputError, exit_on_bad_input, unknown_name
from bassbench.files import parse_json, write_text
from bassbench.results.rows import Row
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
from experiments.studies import with_interval
from reference_model.pipeline import Sampling

REPRODUCED, PARTLY, NOT = "reproduced", "partly", "not reproduced"
UNTESTED, NOT_MEASURED = "not measured by the paper", "no rows yet"


@dataclass(frozen=True)
class Verdict:
    """What our rows say of a claim: one of the words above, and the numbers."""

    word: str
    numbers: str = ""


Rule = Callable[[Sequence[Row]], Verdict]


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


def closer_to_the_style(rows: Sequence[Row]) -> Verdict:
    """Claim: grounded over ungrounded distance to the style is 0.269 / 0.644 (cosine) and 0.407 / 0.836 (Euclidean).

    At the paper's strength 1 and exponent 2. Reproduced if both of our ratios are at most the paper's; partly if both
    intervals lie below 1.
    """
    paper = {"cosine ratio": 0.269 / 0.644, "Euclidean ratio": 0.407 / 0.836}
    like_the_paper = [row for row in rows if (row.setting.get("strength"), row.setting.get("exponent")) == (1, 2)]
    best = {row.metric: row for row in like_the_paper if row.metric in paper}
    if len(best) < len(paper):
        return Verdict(NOT_MEASURED)
    numbers = "; ".join(f"{name} {with_interval(row)}, the paper's {paper[name]:.2f}" for name, row in best.items())
    if all(row.value <= paper[name] for name, row in best.items()):
        return Verdict(REPRODUCED, numbers)
    return Verdict(PARTLY if all(row.high < 1 for row in best.values()) else NOT, numbers)


def diagonal(rows: Sequence[Row]) -> Verdict:
    """Claim: the match matrix of generated bass is dominated by its diagonal; at the model's own weight of guidance.

    Reproduced if the interval of the diagonal's share lies above chance and the share above one half; partly if only
    above chance.
    """
    found = [row for row in rows if row.metric == "diagonal share" and row.system == "reference model"]
    if not found:
        return Verdict(NOT_MEASURED)
    row = min(found, key=lambda row: abs(row.setting["cfg"] - Sampling.cfg))
    numbers = f"diagonal share {with_interval(row)}, chance {1 / row.clips:.2f}"
    if not row.low > 1 / row.clips:
        return Verdict(NOT, numbers)
    return Verdict(REPRODUCED if row.value > 0.5 else PARTLY, numbers)


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


def not_in_the_paper(rows: Sequence[Row]) -> Verdict:
    """A question that the paper does not ask."""
    return Verdict(UNTESTED if rows else NOT_MEASURED)


SIGN = "Written by `python -m experiments.all`"
_HEAD = """
# Results

Written by `python -m experiments.all` from the rows beside it. Each study is one command; its rows (`.jsonl`, with
provenance), table (`.csv`, `.md`) and figure (`.png`) lie here. Run a command again and it computes only what is
missing. Brackets: 95 % confidence interval. The rules by which a claim counts as reproduced stand in
`experiments/all.py`.
"""
_FOOT = """
Music of the bank is sequenced, from one SoundFont; these figures compare systems and settings on it.
"""


@dataclass(frozen=True)
class Entry:
    """What the page says of a study: its command, question, the paper's claim (none: not in the paper), two functions.

    `rule` gives the verdict on the claim from the study's rows, `findings` a paragraph on what they say.
    """

    command: str
    question: str
    claim: str
    rule: Rule
    findings: Callable[[Sequence[Row]], str] | None


def write_page(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Write README.md: the table of claims, then each figure with what was found; studies without rows are left out.

    Raises:
        BadInputError: rows cannot be read, or the page cannot be written.
    """
    claims = ["| study | what the paper found | our rows | numbers |", "|---|---|---|---|"]
    sections: list[str] = []
    for name, entry in entries.items():
        rows = reported(folder / f"{name}.csv")
        if not rows:
            continue
        verdict = entry.rule(rows)
        link = f"[{entry.question}]({name}.md)"
        claims.append(f"| {link} | {entry.claim or 'not measured'} | {verdict.word} | {verdict.numbers or '-'} |")
        sections += ["", f"## {entry.question}", "", f"`{entry.command}`"]
        if entry.findings is not None:
            sections += ["", _told(entry.findings, rows)]
        if (folder / f"{name}.png").exists():
            sections += ["", f"[![{entry.question}]({name}.png)]({name}.md)"]
    others = [path for path in sorted(folder.glob("*.md")) if path.stem not in entries and path.name != "README.md"]
    if others:
        sections += ["", "## Besides", "", *(f"- [{_heading(path)}]({path.name})" for path in others)]
    write_text(folder / "README.md", "\n".join([_HEAD.strip(), "", *claims, *sections, "", _FOOT.strip(), ""]))


def _told(findings: Callable[[Sequence[Row]], str], rows: Sequence[Row]) -> str:
    try:
        return findings(rows).strip()
    except (LookupError, ValueError, StopIteration):
        return "This table is of an earlier form of the study, which measured other things: run the command again."


def reported(path: Path) -> list[Row]:
    """The rows of a study's table, from its .csv (the .jsonl may hold those of other weights too); none without it.

    Raises:
        BadInputError: the file cannot be read, or is not a table of rows.
    """
    try:
        with path.open(newline="") as file:
            return [_row(line) for line in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: not a study's table of rows ({error}); run the study again") from None


def _row(line: Mapping[str, str]) -> Row:
    read: dict[str, Callable[[str], Any]] = {"setting": parse_json, "protocol": parse_json, "versions": parse_json}
    read |= dict.fromkeys(("value", "low", "high", "seconds"), float) | {"clips": int, "seed": int}
    return Row(**{field.name: read.get(field.name, str)(line[field.name]) for field in fields(Row)})


def _heading(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip() or path.stem


Size = Literal["default", "quick", "full"]


@dataclass(frozen=True)
class Study:
    """A study: its module, its configurations by size, its question, the paper's claim, and the rule of that claim."""

    module: ModuleType
    default: Any
    quick: Any
    full: Any
    question: str
    claim: str = ""
    rule: Rule = not_in_the_paper


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
    return Entry(command, study.question, study.claim, study.rule, getattr(study.module, "findings", None))


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
