"""A run as a table: a line for each metric, a column for the system and for each anchor."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from bassbench.rows import Row
from bassbench.table import interval_text, markdown, terminal

_SIGNS = {"higher": "up", "lower": "down", "real": "as real"}


def board(rows: Sequence[Row], subject: str, directions: Mapping[str, str], *, intervals: bool) -> pd.DataFrame:
    """Rows as text: metric, which way is better, the subject with interval and clips, anchors (with intervals)."""
    systems = list(dict.fromkeys(row.system for row in rows))
    columns = [subject, *(name for name in systems if name != subject)]
    most = max((row.clips for row in rows), default=0)
    # What is undefined everywhere (the style metrics where no style was asked for) has no line.
    defined = {row.metric for row in rows if not math.isnan(row.value)}
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.metric not in defined:
            continue
        line = lines.setdefault(
            row.metric, {"metric": row.metric, "better": _SIGNS.get(directions.get(row.metric, ""), "")}
        )
        full = intervals or row.system == subject
        text = interval_text(row.value, *((row.low, row.high) if full else (float("nan"), float("nan"))))
        line[row.system] = text + (f" ({row.clips} clips)" if full and row.clips < most else "")
    frame = pd.DataFrame(lines.values(), columns=["metric", "better", *columns]).fillna("")
    return frame


def terminal_board(rows: Sequence[Row], subject: str, directions: Mapping[str, str]) -> str:
    """The table for a terminal, anchors without intervals."""
    return terminal(board(rows, subject, directions, intervals=False))


def markdown_board(rows: Sequence[Row], subject: str, directions: Mapping[str, str]) -> str:
    """The table with all intervals, in Markdown."""
    return markdown(board(rows, subject, directions, intervals=True))
