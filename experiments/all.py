"""Every study, one after the other, and the page that shows them all.

    python -m experiments.all --quick

Runs each study's own function in this process and writes README.md beside their results: the paper's claims, how our
rows stand to them, every figure, and the command. Run it again to go on where it was cut off; with `--page` it runs no
study and writes the page from the rows that are there.
"""

import csv
import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import tyro

from bassbench.errors import BadInputError, exit_on_bad_input, unknown_name
from bassbench.files import parse_json, write_text
from bassbench.results.rows import Row
from experiments import studies
from experiments.studies import Study

Size = Literal["default", "quick", "full"]
STUDIES = (
    "ddim_steps",
    "cfg_sweep",
    "grounding",
    "match_matrix",
    "length",
    "listening",
    "samplers",
    "autoencoders",
    "match_proof",
    "metric_validity",
)
"""The studies' modules, in the order of the page; each is imported when its turn comes, as all take seconds."""
SIGN = "Written by `python -m experiments.all`"
_HEAD = """
# Results

Written by `python -m experiments.all` from the rows beside it. Each study is one command; its rows (`.jsonl`, with
provenance), table (`.csv`, `.md`) and figure (`.png`) lie here. Run a command again and it computes only what is
missing. Brackets: 95 % confidence interval. The rule by which a claim counts as reproduced stands
with its study.
"""
_FOOT = """
Music of the bank is sequenced, from one SoundFont; these figures compare systems and settings on it.
"""


def write_page(folder: Path, size: Size) -> None:
    """Write README.md: the table of claims, then each figure with what was found; studies without rows are left out.

    Raises:
        BadInputError: rows cannot be read, or the page cannot be written.
    """
    claims = ["| study | what the paper found | our rows | numbers |", "|---|---|---|---|"]
    sections: list[str] = []
    for name in STUDIES:
        rows = reported(folder / f"{name}.csv")
        if not rows:
            continue
        study = find_study(name)
        verdict = study.verdict(rows)
        link = f"[{study.question}]({name}.md)"
        claims.append(f"| {link} | {study.claim or 'not measured'} | {verdict.word} | {verdict.numbers or '-'} |")
        sections += ["", f"## {study.question}", "", f"`{_command(study, size)}`"]
        if study.findings is not None:
            sections += ["", _told(study.findings, rows)]
        if (folder / f"{name}.png").exists():
            sections += ["", f"[![{study.question}]({name}.png)]({name}.md)"]
    others = [path for path in sorted(folder.glob("*.md")) if path.stem not in STUDIES and path.name != "README.md"]
    if others:
        sections += ["", "## Besides", "", *(f"- [{_heading(path)}]({path.name})" for path in others)]
    write_text(folder / "README.md", "\n".join([_HEAD.strip(), "", *claims, *sections, "", _FOOT.strip(), ""]))


def find_study(name: str) -> Study:
    """The study of a module named in `STUDIES`."""
    found: Study = importlib.import_module(f"experiments.{name}").STUDY
    return found


def _command(study: Study, size: Size) -> str:
    return f"python -m experiments.{study.name}" + ("" if size == "default" else f" --{size}")


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
    # A table written before a field came to be has the field's default.
    given = [field.name for field in fields(Row) if field.name in line or field.default is dataclasses.MISSING]
    return Row(**{name: read.get(name, str)(line[name]) for name in given})


def _heading(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip() or path.stem


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
        for name in () if self.page else self.only or STUDIES:
            configured(find_study(name), self.size, self).run()
            write_page(self.output, self.size)
        write_page(self.output, self.size)


def configured(study: Study, size: Size, options: All) -> Any:
    """A study's configuration of one size, with the options that it shares with all."""
    config = getattr(study, size)
    shared = {"output": options.output, "device": options.device}
    if isinstance(config, studies.Settings):  # the weights of others are not the reference model's
        shared["weights"] = options.weights
    fields = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: value for name, value in shared.items() if name in fields})


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m experiments.all`."""
    with exit_on_bad_input():
        tyro.cli(All, description=__doc__, args=arguments).run()


if __name__ == "__main__":
    main()
