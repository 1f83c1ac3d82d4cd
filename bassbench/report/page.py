"""One HTML file with everything inside: it opens without a network, on a phone as on a desk, and prints."""

import base64
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.report.elements import Markup, data_uri, element
from bassbench.report.examples import SHORTEST_CUT, Example, example_article, seconds_for
from bassbench.report.notes import MetricNote, licence_list, metric_list, protocol_cards, version_table
from bassbench.report.results import experiment_section
from bassbench.results.rows import Row
from bassbench.suite.anchors import CODEC, anchors

PAGE_BYTES = 15_000_000
"""The size that a page keeps below by cutting its examples."""
ANCHORS = frozenset({*anchors(), CODEC})
_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_TEXT = (
    "Brackets are 95 % confidence intervals. In the charts a point is the value, a line its interval, and the dashed "
    "line the real bass. Anchors say what a value is worth: what the real bass scores, and what broken ones do."
)
_LISTEN = (
    "The first clips in the data's own order, not chosen by ear. The players of an example have one gain in common; "
    "start another and it goes on in place."
)


def write_report(
    path: Path,
    rows: Sequence[Row],
    examples: Sequence[Example] = (),
    *,
    title: str,
    figures: Sequence[Path] = (),
    metrics: Iterable[MetricNote] = (),
    licences: Mapping[str, str] | None = None,
    anchors: Collection[str] = ANCHORS,
    seconds: float = 24.0,
    page_bytes: int = PAGE_BYTES,
) -> None:
    """Write the results as one self-contained HTML page, whole or not at all.

    Rows of a system in `anchors` are set apart. `metrics` explain the metrics by name; `licences` are those of what
    the page holds, by its name. Examples are read one at a time, and cut to `seconds` or to what keeps the page below
    `page_bytes`; the page says so.

    Raises:
        BadInputError: no rows and no examples, a figure that cannot be read, or a page that cannot be written.
    """
    if not rows and not examples:
        raise BadInputError(f"{path}: nothing to report, neither result rows nor examples")
    notes = {note.name: note for note in metrics}
    before = [
        _head(title),
        _masthead(title, rows, anchors, has_examples=bool(examples), figures=figures, licences=licences),
        _section("results", "Results", element("p", _TEXT), *_experiments(rows, notes, anchors)) if rows else "",
        _section("figures", "Figures", element("div", *map(_figure, figures), class_="figures")) if figures else "",
    ]
    after = [
        _section("metrics", "What the metrics mean", metric_list(rows, notes)) if rows else "",
        _section("protocols", "How it was measured", protocol_cards(rows)) if rows else "",
        _section("versions", "By which code", version_table(rows)) if rows else "",
        _section("licences", "Licences", licence_list(licences)) if licences else "",
        f"</main>\n<script>{_resource('page.js')}</script>\n</body>\n</html>\n",
    ]
    room = page_bytes - sum(len(piece.encode()) for piece in before + after)
    listen = _listen(examples, seconds, room) if examples else ()
    try:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as page:
            page.writelines(itertools.chain(before, listen, after))
    except OSError as error:
        raise BadInputError(f"{path}: cannot write the report ({error.strerror})") from None


def _experiments(rows: Sequence[Row], notes: Mapping[str, MetricNote], anchors: Collection[str]) -> list[Markup]:
    names = dict.fromkeys(row.experiment for row in rows)
    return [experiment_section([row for row in rows if row.experiment == name], notes, anchors) for name in names]


def _listen(examples: Sequence[Example], seconds: float, room: int) -> Iterator[str]:
    """The examples one at a time; each may take its share of the bytes left, and what it saves goes to the rest."""
    yield '<section id="listen" aria-labelledby="listen-title">\n' + element("h2", "Listen", id="listen-title")
    yield element("p", _LISTEN)
    left_out = 0
    for index, example in enumerate(tqdm(examples, "examples to listen to", unit="clip", leave=False, delay=1)):
        length = seconds_for(example, room / (len(examples) - index), seconds)
        if length < min(SHORTEST_CUT, seconds):
            left_out += 1
            continue
        article = example_article(example, length)
        room -= len(article.encode())
        yield article + "\n"
    if left_out:
        yield element("p", f"{left_out} more left out: the page would grow too large to send or to open on a phone.")
    yield "</section>\n"


def _head(title: str) -> str:
    script = base64.b64encode(hashlib.sha256(_resource("page.js").encode()).digest()).decode()
    # Whatever a name in the results holds, the page runs this one script and fetches nothing.
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="bassbench"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        Markup(f"<style>{_resource('page.css')}</style>"),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n<body>\n'


def _masthead(
    title: str,
    rows: Sequence[Row],
    anchors: Collection[str],
    *,
    has_examples: bool,
    figures: Sequence[Path],
    licences: Mapping[str, str] | None,
) -> str:
    parts = {
        "results": ("Results", bool(rows)),
        "figures": ("Figures", bool(figures)),
        "listen": ("Listen", has_examples),
        "metrics": ("Metrics", bool(rows)),
        "protocols": ("Protocols", bool(rows)),
        "versions": ("Code", bool(rows)),
        "licences": ("Licences", bool(licences)),
    }
    links = [element("a", text, href=f"#{name}") for name, (text, is_there) in parts.items() if is_there]
    header = element(
        "header",
        element("p", "bassbench", class_="brand"),
        element("h1", title),
        _summary(rows, anchors),
        class_="masthead",
    )
    navigation = element("nav", *links, aria_label="Sections")
    return f"{header}\n{navigation}\n<main>\n"


def _summary(rows: Sequence[Row], anchors: Collection[str]) -> Markup | None:
    if not rows:
        return None
    counts = {
        "systems": len({row.system for row in rows}.difference(anchors)),
        "anchors": len({row.system for row in rows}.intersection(anchors)),
        "metrics": len({row.metric for row in rows}),
        "clips": max(row.clips for row in rows),
    }
    items = [
        element("li", element("b", count), " ", name[:-1] if count == 1 else name)
        for name, count in counts.items()
        if count
    ]
    return element("ul", *items, class_="summary")


def _section(name: str, heading: str, *children: object) -> str:
    title = element("h2", heading, id=f"{name}-title")
    return element("section", title, *children, id=name, aria_labelledby=f"{name}-title") + "\n"


def _figure(path: Path) -> Markup:
    media_type = _MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise BadInputError(f"{path}: not a figure; expected {', '.join(_MEDIA_TYPES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot read the figure ({error.strerror})") from None
    name = path.stem.replace("_", " ")
    picture = element("img", src=data_uri(media_type, content), alt=f"Figure: {name}")
    return element("figure", picture, element("figcaption", name), class_="card figure")


def _resource(name: str) -> str:
    return resources.files("bassbench.report").joinpath(name).read_text(encoding="utf-8")
