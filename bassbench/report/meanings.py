"""What each metric means in a sentence, for readers of a report: the suite's, the studies', and those of plug-ins."""

import functools
import inspect
import sys

from bassbench.metrics.metric import ClipMetric
from bassbench.metrics.probes import PROBES
from bassbench.metrics.registry import GATE, all_metrics
from bassbench.report.results import MetricNote

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
