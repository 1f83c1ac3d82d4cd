"""The page of results: the paper's claims held against our rows, then every study's figure and what it found."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bassbench.errors import BadInputError
from bassbench.files import parse_json, write_text
from bassbench.results.rows import Row
from experiments.claims import Judge

SIGN = "Written by `python -m experiments.all`"
_HEAD = """
# Results

Written by `python -m experiments.all` from the rows beside it. Each study is one command; its rows (`.jsonl`, with
provenance), table (`.csv`, `.md`) and figure (`.png`) lie here. Run a command again and it computes only what is
missing. Brackets: 95 % confidence interval. The rules by which a claim counts as reproduced stand in
`experiments/claims.py`.
"""
_FOOT = """
Music of the bank is sequenced, from one SoundFont; these figures compare systems and settings on it.
"""


@dataclass(frozen=True)
class Entry:
    """What the page says of a study: its command, question, the paper's claim (none: not in the paper), two functions.

    `judge` gives the verdict on the claim from the study's rows, `findings` a paragraph on what they say.
    """

    command: str
    question: str
    claim: str
    judge: Judge
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
        verdict = entry.judge(rows)
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
