"""The result rows as HTML: for each metric a table with interval bars, and for each experiment one table of all."""

import dataclasses
import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bassbench.report.elements import Markup, element, joined
from bassbench.report.notes import MetricNote
from bassbench.results.rows import Row
from bassbench.results.table import interval_text
from bassbench.suite.anchors import REAL

_LOG_BEYOND = 30.0  # values that span more than this factor are drawn on a logarithmic axis
_MARGIN = 0.05  # of the bar's width, left free at either end
_MOST_COLUMNS = 16


@dataclasses.dataclass(frozen=True)
class Axis:
    """A value axis from `low` to `high`, logarithmic or not; `low < high`."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Where a value lies, in per cent of the bar's width."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return 100 * (_MARGIN + (1 - 2 * _MARGIN) * (at - low) / (high - low))


def experiment_section(rows: Sequence[Row], notes: Mapping[str, MetricNote], anchors: Collection[str]) -> Markup:
    """All results of one experiment: the table of all metrics where it is not too wide, then one table a metric."""
    shown = varying_settings(rows, anchors)
    panels = [list(group) for group in _grouped(rows)]
    overview = _overview(panels, notes, anchors, shown) if len(panels) > 1 else None
    cards = [_panel(panel, notes, anchors, shown) for panel in panels]
    return element(
        "section",
        element("h3", rows[0].experiment.replace("_", " ")),
        overview,
        element("div", *cards, class_="panels"),
        class_="experiment",
    )


def varying_settings(rows: Sequence[Row], anchors: Collection[str]) -> list[str]:
    """The names of settings that tell rows of one system apart; anchors have no say."""
    tested = [row for row in rows if row.system not in anchors] or list(rows)
    values: dict[str, dict[str, set[str]]] = {name: {} for row in tested for name in row.setting}
    for row, name in itertools.product(tested, values):
        values[name].setdefault(row.system, set()).add(_plain(row.setting.get(name)))
    return [name for name, of_system in values.items() if any(len(found) > 1 for found in of_system.values())]


def axis_of(rows: Sequence[Row]) -> Axis | None:
    """The axis on which all values and intervals of the rows can be drawn; None if no value is finite."""
    values = [v for row in rows for v in (row.value, row.low, row.high) if math.isfinite(v)]
    if not any(math.isfinite(row.value) for row in rows):
        return None
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return Axis(low, high, log=low > 0 and high / low > _LOG_BEYOND)


def _grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one metric and one protocol, each measurement once, system by system: what may stand in one table."""
    systems = list(dict.fromkeys(row.system for row in rows))
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: systems.index(row.system)):
        groups.setdefault((row.metric, row.protocol_hash), {}).setdefault(row.key, row)
    return [list(group.values()) for group in groups.values()]


def _panel(rows: Sequence[Row], notes: Mapping[str, MetricNote], anchors: Collection[str], shown: list[str]) -> Markup:
    axis = axis_of(rows)
    real = next((row.value for row in rows if row.system == REAL and math.isfinite(row.value)), None)
    mark = f"--real:{axis.place(real):.2f}%" if axis and real is not None else None
    labels = _labels(rows, shown)
    most = max(row.clips for row in rows)
    groups: list[Markup] = []
    for is_anchor in (False, True):
        lines = [
            _line(row, label, most, axis, mark) for row, label in zip(rows, labels, strict=True)
            if (row.system in anchors) == is_anchor
        ]  # fmt: skip
        if lines and is_anchor:
            head = element("th", "Anchors", scope="rowgroup", colspan=3)
            groups.append(element("tbody", element("tr", head, class_="group"), *lines, class_="anchors"))
        elif lines:
            groups.append(element("tbody", *lines))
    head = element(
        "tr",
        element("th", "System", scope="col"),
        element("th", "Value", scope="col", class_="number"),
        element("th", _axis_ends(axis), scope="col", class_="axis"),
    )
    table = element("table", _caption(rows, notes), element("thead", head), *groups)
    return element("div", table, class_="card panel")


def _caption(rows: Sequence[Row], notes: Mapping[str, MetricNote]) -> Markup:
    first = rows[0]
    note = notes.get(first.metric)
    clips = sorted({row.clips for row in rows})
    size = f"{clips[0]} clips" if len(clips) == 1 else f"{clips[0]} to {clips[-1]} clips"
    about = [note.better, note.unit] if note else []
    detail = " · ".join([*filter(None, about), size, f"protocol {first.protocol_hash}"])
    return element("caption", element("strong", first.metric), element("span", detail, class_="detail"))


def _axis_ends(axis: Axis | None) -> Markup | str:
    if axis is None:
        return "95 % interval"
    ends = [element("span", f"{value:.3g}") for value in (axis.low, axis.high)]
    middle = element(
        "span", "log scale" if axis.log else "95 % interval", class_="scale" if axis.log else "scale usual"
    )
    return element("span", ends[0], middle, ends[1], class_="ends")


def _line(row: Row, label: tuple[str, str], most: int, axis: Axis | None, mark: str | None) -> Markup:
    fewer = f"{row.clips} of {most} clips" if row.clips < most else ""  # undefined on the others
    small = ", ".join(filter(None, (label[1], fewer)))
    name = joined(label[0], element("span", small, class_="setting") if small else None)
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", _number(row), class_="number"),
        element("td", _bar(row, axis), class_="bar", style=mark),
    )


def _number(row: Row) -> Markup:
    low, high = (v if math.isfinite(v) else math.nan for v in (row.low, row.high))
    value = row.value if math.isfinite(row.value) else math.nan
    text, _, interval = interval_text(value, low, high).partition(" ")
    if math.isnan(value):
        return element("span", text, class_="undefined")
    return joined(element("b", text), " ", element("span", interval, class_="interval") if interval else None)


def _bar(row: Row, axis: Axis | None) -> Markup | None:
    """The value as a point and its interval as a line; the numbers beside it say the same to who cannot see it."""
    if axis is None or not math.isfinite(row.value):
        return None
    at = f"{axis.place(row.value):.2f}%"
    parts = []
    if math.isfinite(row.low) and math.isfinite(row.high):
        ends = {"x1": f"{axis.place(row.low):.2f}%", "x2": f"{axis.place(row.high):.2f}%"}
        parts.append(element("line", **ends, y1="50%", y2="50%"))
    parts.append(element("circle", cx=at, cy="50%", r="4.5"))
    return element("svg", *parts, aria_hidden="true", focusable="false")


def _labels(rows: Sequence[Row], shown: Sequence[str]) -> list[tuple[str, str]]:
    """System and settings of each row; the seed and the number of clips too where the rest does not tell rows apart."""
    labels = [_label(row, shown) for row in rows]
    for name in ("clips", "seed"):
        if len(set(labels)) < len(labels) and len({getattr(row, name) for row in rows}) > 1:
            extra = [f"{name} {getattr(row, name)}" for row in rows]
            labels = [(system, ", ".join(filter(None, (s, e)))) for (system, s), e in zip(labels, extra, strict=True)]
    return labels


def _label(row: Row, shown: Sequence[str]) -> tuple[str, str]:
    settings = [f"{name} {_plain(row.setting[name])}" for name in shown if name in row.setting]
    return row.system, ", ".join(settings)


def _overview(
    panels: Sequence[Sequence[Row]], notes: Mapping[str, MetricNote], anchors: Collection[str], shown: list[str]
) -> Markup | None:
    """One line a metric, one column a system: those under test first, then the anchors."""
    placed = [dict(zip(_labels(panel, shown), panel, strict=True)) for panel in panels]
    columns = list(dict.fromkeys(itertools.chain.from_iterable(placed)))
    systems = list(dict.fromkeys(system for system, _ in columns))
    columns.sort(key=lambda label: (label[0] in anchors, systems.index(label[0])))
    if len(columns) > _MOST_COLUMNS:
        return None
    kinds = ["anchor" if label[0] in anchors else None for label in columns]
    starts = [kind and (f"{kind} first" if i == kinds.index(kind) else kind) for i, kind in enumerate(kinds)]
    head = [
        element("th", system, element("span", setting, class_="setting") if setting else None, scope="col", class_=kind)
        for (system, setting), kind in zip(columns, starts, strict=True)
    ]
    lines = []
    for panel, cells in zip(panels, placed, strict=True):
        note = notes.get(panel[0].metric)
        aside = " · ".join(filter(None, (note.unit, note.better))) if note else ""
        about = element("span", aside, class_="setting") if aside else None
        name = element("th", panel[0].metric, about, scope="row")
        values = [
            element("td", _number(cells[label]) if label in cells else None, class_=kind)
            for label, kind in zip(columns, starts, strict=True)
        ]
        lines.append(element("tr", name, *values))
    table = element(
        "table",
        element("caption", element("span", "All metrics: value and 95 % interval. Shaded columns are anchors.")),
        element("thead", element("tr", element("th", "Metric", scope="col"), *head)),
        element("tbody", *lines),
        class_="overview",
    )
    region = f"All metrics of {panels[0][0].experiment}"
    return element("div", table, class_="scroll card", tabindex=0, role="region", aria_label=region)


def _plain(value: object) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str) else json.dumps(value, default=str)
