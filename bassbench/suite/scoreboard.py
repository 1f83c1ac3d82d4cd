"""A run as a table: a line for each metric, a column for the system and for each anchor."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bassbench.metrics.registry import Measure
from bassbench.results.rows import Row
from bassbench.results.table import interval_text, markdown, terminal

SIGNS = {"higher": "up", "lower": "down", "real": "as real"}
_ABOUT = ["metric", "unit", "better"]
_NO_TERMINAL = 100_000  # columns of a file or a pipe


def board(rows: Sequence[Row], system: str, measures: Mapping[str, Measure]) -> pd.DataFrame:
    """Rows as text: metric, unit, which way is better, then system and anchors with intervals (and clips, if fewer).

    `measures` are what there is to be measured, by name (`bassbench.metrics.registry.all_measures`).
    """
    systems = list(dict.fromkeys(row.system for row in rows))
    columns = [system, *(name for name in systems if name != system)]
    most = max((row.clips for row in rows), default=0)
    # What is undefined everywhere (the style metrics where no style was asked for) has no line.
    defined = {row.metric for row in rows if not math.isnan(row.value)}
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.metric not in defined:
            continue
        known = measures.get(row.metric)
        about = (row.metric, known.unit, SIGNS[known.direction]) if known else (row.metric, "", "")
        line = lines.setdefault(row.metric, dict(zip(_ABOUT, about, strict=True)))
        fewer = f" ({row.clips} clips)" if row.clips < most else ""
        line[row.system] = interval_text(row.value, row.low, row.high) + fewer
    return pd.DataFrame(lines.values(), columns=[*_ABOUT, *columns]).fillna("")


def terminal_board(rows: Sequence[Row], system: str, measures: Mapping[str, Measure]) -> str:
    """The table for a terminal; columns that its width has no room for go on below."""
    frame = board(rows, system, measures)
    width = shutil.get_terminal_size((_NO_TERMINAL, 24)).columns
    return "\n\n".join(terminal(part) for part in _fitting(frame, width))


def markdown_board(rows: Sequence[Row], system: str, measures: Mapping[str, Measure]) -> str:
    """The table in Markdown."""
    return markdown(board(rows, system, measures))


def _fitting(frame: pd.DataFrame, width: int) -> Iterator[pd.DataFrame]:
    """The frame in parts of at most `width` characters and at least one system, each with what is measured."""
    names, systems = list(frame.columns[: len(_ABOUT)]), list(frame.columns[len(_ABOUT) :])
    while systems:
        count = len(systems)
        while count > 1 and max(map(len, terminal(frame[names + systems[:count]]).splitlines())) > width:
            count -= 1
        yield frame[names + systems[:count]]
        systems = systems[count:]
