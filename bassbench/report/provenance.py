"""What stands behind the numbers, as HTML: what each metric means, how it was measured, by which code, under which
licences."""

from collections.abc import Iterable, Mapping, Sequence

from bassbench.report.markup import Markup, element, joined
from bassbench.report.results import MetricNote
from bassbench.results.rows import Row


def metric_list(rows: Sequence[Row], notes: Mapping[str, MetricNote]) -> Markup:
    """The metrics among the rows, in their order: direction, meaning, citation."""
    entries = []
    for name in dict.fromkeys(row.metric for row in rows):
        note = notes.get(name, MetricNote(name, ""))
        unit = f"in {note.unit}" if note.unit else ""
        aside = " · ".join(filter(None, (note.better, unit)))
        term = element("dt", name, element("span", aside, class_="detail") if aside else None)
        meaning = element("p", note.meaning or "No description came with this metric.")
        cited = element("p", "Source: ", note.citation, class_="detail") if note.citation else None
        entries.append(element("div", term, element("dd", meaning, cited), class_="card"))
    return element("dl", *entries, class_="metrics")


def protocol_cards(rows: Sequence[Row]) -> Markup:
    """Every protocol among the rows with the metrics measured by it; rows of different protocols do not compare."""
    cards = []
    for digest in dict.fromkeys(row.protocol_hash for row in rows):
        members = [row for row in rows if row.protocol_hash == digest]
        experiments = ", ".join(dict.fromkeys(row.experiment.replace("_", " ") for row in members))
        metrics = ", ".join(dict.fromkeys(row.metric for row in members))
        cards.append(
            element(
                "div",
                element("h3", "Protocol ", element("code", digest)),
                element("p", f"{experiments}: {metrics}", class_="detail"),
                _definitions(members[0].protocol),
                class_="card protocol",
            )
        )
    return element("div", *cards, class_="panels")


def version_table(rows: Sequence[Row]) -> Markup:
    """For each experiment: its systems' settings, what of the data was left out, seeds, commits, devices, versions."""
    lines = []
    for name in dict.fromkeys(row.experiment for row in rows):
        members = [row for row in rows if row.experiment == name]
        # Rows measured together each hold the time of all.
        seconds = sum(time for _, time in {(row.system, row.seconds) for row in members})
        versions = dict.fromkeys(f"{library} {version}" for row in members for library, version in row.versions.items())
        facts = {
            **_settings(members),
            "Left out": _list(row.left_out for row in members if row.left_out),
            "Seed": _list(row.seed for row in members),
            "Commit": _list(row.commit for row in members),
            "Device": _list(row.device for row in members),
            "Measured in": f"{seconds:.0f} s" if seconds >= 1 else "",
            "Versions": ", ".join(sorted(versions)),
        }
        known = {term: fact for term, fact in facts.items() if fact}
        lines.append(element("div", element("h3", name.replace("_", " ")), _definitions(known), class_="card protocol"))
    return element("div", *lines, class_="panels")


def licence_list(licences: Mapping[str, str]) -> Markup:
    """What the report holds or was made with, and its licence."""
    return element("div", _definitions(licences), class_="card protocol")


def _definitions(values: Mapping[str, object]) -> Markup:
    pairs = [joined(element("dt", str(name).replace("_", " ")), element("dd", _shown(v))) for name, v in values.items()]
    return element("dl", *pairs, class_="facts")


def _shown(value: object) -> Markup | str:
    if isinstance(value, Mapping):
        return _definitions(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _settings(rows: Sequence[Row]) -> dict[str, str]:
    """Every value of each setting, by system."""
    found: dict[str, dict[str, list[object]]] = {}
    for row in rows:
        for name, value in row.setting.items():
            found.setdefault(row.system, {}).setdefault(name, []).append(value)
    return {
        system: "; ".join(f"{name} {_list(values)}" for name, values in settings.items())
        for system, settings in found.items()
    }


def _list(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))
