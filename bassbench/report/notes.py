"""What stands behind the numbers: what each metric means, how it was measured, by which code, under which licences."""

import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence

from bassbench.metrics.metric import ClipMetric
from bassbench.metrics.probes import PROBES
from bassbench.metrics.registry import GATE, all_metrics
from bassbench.report.elements import Markup, element, joined
from bassbench.results.rows import Row

_DIRECTIONS = {"higher": "higher is better", "lower": "lower is better", "real": "best near the real bass"}


@dataclasses.dataclass(frozen=True)
class MetricNote:
    """What a reader needs to know of a metric.

    `direction` is "higher", "lower" or "real" (best at the real bass's value); `citation` is a paper or library.
    """

    name: str
    meaning: str
    direction: str = ""
    unit: str = ""
    citation: str = ""

    @property
    def better(self) -> str:
        """The direction in words; empty if there is none."""
        return _DIRECTIONS.get(self.direction, "")


_GATE = "Share of basses that are none of these: silent, clipped, far off in level, one stuck note, NaN."
_PASINI = "Pasini et al. 2024, arXiv 2402.01412"
_MEANINGS = {
    "FAD": "Fréchet distance of two Gaussians, fitted to the embeddings of the basses under test and of real basses of "
    "other songs. It falls with quality and with the number of clips: compare equal numbers only.",
    "FAD-infinity": "FAD extrapolated to infinitely many clips, which takes the bias of small sets away.",
    "per-song FAD": "Fréchet distance of the embeddings of one bass from those of the reference; mean over songs.",
    "KAD": "Distance of the same two sets of embeddings without supposing that they are Gaussian (maximum mean "
    "discrepancy, times 100); 0 on average where they come from one source, and then as often below as above.",
    "density": "How crowded with real basses the places are where the basses under test lie, in the space of "
    "embeddings; about 1 for sets from one source.",
    "coverage": "Share of the real basses that have a bass under test near by, in the space of embeddings: is every "
    "kind of bass met?",
    "prompt adherence": "Whether mix and bass together lie nearer to real pairs (1) or to mixes with basses of other "
    "songs (0); 0.5 is equally far from both.",
    "match": "Similarity of mix and bass by the matching model, from -1 to 1.",
    "chord-tone share": "Of the frames with a clear pitch, those whose pitch class is a tone of the sounding chord.",
    "voiced share": "Share of frames in which the bass sounds at a clear pitch.",
    "root on downbeats": "Of the downbeats on which the bass sounds, those where it sounds the root of the chord.",
    "share sounding in the mix": "Of the frames with a clear pitch, those whose pitch class sounds in the mix too.",
    "chroma agreement": "How strong the pitch class of the bass is in the mix: 1 by chance, 12 at most.",
    "notes in the key": "Of the frames with a clear pitch, those whose pitch class is in the scale of the key.",
    "loudness against the real bass": "Integrated loudness above that of the real bass; 0 is equally loud.",
    "voiced share against the real bass": "Frames with a clear pitch, as a multiple of the real bass's.",
    "onset F1": "Onsets that match those of the real bass one to one within 50 ms: harmonic mean of precision and "
    "recall.",
    "onsets on the grid": "Share of onsets within 40 ms of a sixteenth of the beats. Swing falls off this grid.",
    "onset lag": "Median time from the nearest sixteenth to the onset; above 0 the bass is late.",
    "drift": "How fast the lag behind the beats grows.",
    "onset density against the real bass": "Number of onsets against the real bass's, in octaves: 1 is double time, "
    "-1 half time.",
    "onset correlation": "Correlation of the onset strengths over time with the real bass's.",
    "style cosine distance": "Cosine distance of the embedding of the bass from that of the style clip asked for.",
    "style Euclidean distance": "Distance of the embedding of the bass from that of the style clip asked for.",
    "level drift": "How fast the level rises or falls over the clip.",
    "sound in the sparsest quarter": "Share of sounding seconds in the quarter of the clip that has the fewest.",
    "side to mid below 120 Hz": "Energy of the difference of the channels over that of their sum, in the low band: "
    "bass that is wide there is lost or weakened on one loudspeaker.",
    "mono fold-down loss": "Level lost when both channels are played through one loudspeaker.",
}
_STUDIES = (
    MetricNote("gain over swapped mixes", "Chord-tone share with the own mix less that with another song's mix: what "
               "listening brings.", "higher"),
    MetricNote("diagonal share", "Mean weight that a mix gives to its own bass among all basses, after a softmax over "
               "the matching model's scores.", "higher", "", _PASINI),
    MetricNote("R@1", "Share of mixes whose own bass scores highest among all.", "higher"),
    MetricNote("p-value", "How often a random pairing scores as high as the true one.", "lower"),
    MetricNote("own bass above", "Share of mixes whose own bass scores above the damaged one.", "higher"),
    MetricNote("AUC", "Probability that a real bass scores above a damaged one; 0.5 is chance.", "higher"),
)  # fmt: skip


def metric_notes() -> list[MetricNote]:
    """Notes on every metric that is known here; the suite's own direction, unit and citation come first."""
    notes = {note.name: note for note in _STUDIES}
    notes[GATE.name] = MetricNote(GATE.name, _GATE, GATE.direction)
    for name, metric in all_metrics().items():
        meaning = _MEANINGS.get(name) or (_described(metric) if isinstance(metric, ClipMetric) else "")
        notes[name] = MetricNote(name, meaning, metric.direction, metric.unit, metric.citation)
    for name, probe in PROBES.items():
        what = "How much the bass changes" if probe.name.startswith("output change") else "How much worse the bass fits"
        altered = {"swapped": "another song's mix", "muted": "silence", "shifted": "the mix half a beat late"}
        meaning = f"{what} when the system hears {altered.get(probe.way, probe.way)} instead of the mix."
        notes[name] = MetricNote(name, meaning, probe.direction, probe.unit, probe.citation)
    return list(notes.values())


def _described(metric: ClipMetric) -> str:
    """The first paragraph of the docstring of what measures it, or of that one's module."""
    measure = metric.measure
    while isinstance(measure, functools.partial):
        measure = measure.func
    own = inspect.getdoc(measure) if inspect.isroutine(measure) else None
    text = own or getattr(sys.modules.get(getattr(measure, "__module__", "")), "__doc__", None) or ""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


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
