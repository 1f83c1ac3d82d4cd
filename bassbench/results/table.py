"""Tables are functions of rows: one line a system and setting, one column a metric, each value with its interval."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bassbench.errors import BadInputError
from bassbench.results.rows import Row

# Columns of words stand to the left, numbers to the right.
_NAMES = (
    "system",
    "metric",
    "embedder",
    "data",
    "of",
    "better",
    "unit",
    "source",
    "what it is",
    "what it does",
    "verdict",
)


def table(rows: Sequence[Row], settings: Sequence[str] = ()) -> pd.DataFrame:
    """Rows as a frame of text in their own order: system, the named `settings`, one column a metric, clips.

    A cell without a row is empty.

    Raises:
        BadInputError: rows of one metric were measured by different protocols.
        ValueError: two rows fall in one cell (they differ in a setting that is not shown).
    """
    require_one_protocol(rows)
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        place = (row.system, *(_shown(row.setting.get(name, "")) for name in settings))
        line = lines.setdefault(place, dict(zip(("system", *settings), place, strict=True)))
        if row.metric in line:
            raise ValueError(
                f"two rows for {row.metric} of {', '.join(place)}: choose one, or show what they differ in"
            )
        line[row.metric] = interval_text(row.value, row.low, row.high)
        line["clips"] = str(max(row.clips, int(line.get("clips", 0))))
    metrics = list(dict.fromkeys(row.metric for row in rows))
    return pd.DataFrame(lines.values(), columns=["system", *settings, *metrics, "clips"]).fillna("")


def require_one_protocol(rows: Sequence[Row]) -> None:
    """Refuse to put numbers side by side that were not measured alike.

    Raises:
        BadInputError: rows of one metric have different protocols; names the first differences.
    """
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.metric, row)
        if row.protocol_hash != known.protocol_hash:
            differences = protocol_differences(known.protocol, row.protocol)
            raise BadInputError(
                f"{row.metric} of '{known.system}' and of '{row.system}' cannot be ranked together: measured by "
                f"protocols {known.protocol_hash} and {row.protocol_hash} ({differences}); measure one of them again"
            )


def protocol_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """The fields in which two protocols differ, with both values: "embedder musicnn against log-mel; ..."."""
    names = sorted(set(first) | set(second))
    pairs = [(name, first.get(name), second.get(name)) for name in names]
    return "; ".join(f"{name} {_short(a)} against {_short(b)}" for name, a, b in pairs if a != b)


def interval_text(value: float, low: float, high: float) -> str:
    """A value and its interval, "0.866 [0.840, 0.891]": three significant digits of the value or half the interval."""
    if math.isnan(value):
        return "undefined"
    size = max(abs(value), 0.0 if math.isnan(low) or math.isnan(high) else (high - low) / 2)
    digits = 3 - (math.floor(math.log10(size)) + 1 if size >= 5e-7 else 1)
    decimals = min(max(digits, 0), 6)
    shown = [f"{round(number, decimals) + 0.0:.{decimals}f}" for number in (value, low, high)]  # no "-0.00"
    return shown[0] if math.isnan(low) or math.isnan(high) else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def terminal(frame: pd.DataFrame) -> str:
    """A frame as aligned text, names to the left and numbers to the right."""
    widths = _widths(frame)
    lines = [frame.columns, *frame.itertuples(index=False)]
    return "\n".join("  ".join(_aligned(line, widths, frame)).rstrip() for line in lines)


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table that is aligned as text too."""
    widths = [max(width, 3) for width in _widths(frame)]
    left = [_is_name(column) for column in frame.columns]
    rule = ["-" * w if is_left else "-" * (w - 1) + ":" for w, is_left in zip(widths, left, strict=True)]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in frame.itertuples(index=False)]
    lines = [_aligned(frame.columns, widths, frame), rule, *(_aligned(line, widths, frame) for line in cells)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _aligned(line: Sequence[str], widths: Sequence[int], frame: pd.DataFrame) -> list[str]:
    names = [_is_name(column) for column in frame.columns]
    return [
        str(cell).ljust(width) if is_name else str(cell).rjust(width)
        for cell, width, is_name in zip(line, widths, names, strict=True)
    ]


def _widths(frame: pd.DataFrame) -> list[int]:
    return [max(map(len, [str(column), *frame[column]])) for column in frame.columns]


def _is_name(column: str) -> bool:
    return column in _NAMES


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: object) -> str:
    text = _shown(value)
    return text if len(text) <= 60 else text[:57] + "..."
