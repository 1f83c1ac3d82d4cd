"""Does the matcher know which bass fits?  Retrieval and damaged basses, beside two correlations anyone would try first.

    python -m experiments.match_proof

Every mix of the test split, and of the human split, is compared with every bass, and its own bass with damaged forms of
itself: transposed (played again from its notes), shifted, from elsewhere in the song, silence, noise. Run it again to
go on where it was cut off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from scipy.stats import hypergeom

from bassbench.errors import BadInputError, check_limits
from bassbench.metrics.statistics import Interval, auc_interval, mean_interval
from bassbench.results.rows import Measurement, Row, RowStore
from bassbench.results.table import require_one_protocol
from bassbench.songs.clips import ClipRequest, clip_requests
from contrastive.encoder import Matcher
from contrastive.scoring import WEIGHTS
from contrastive.validation import ranks
from experiments import studies
from experiments.figures import curve, panels
from experiments.match_listeners import (
    SHIFTS,
    About,
    ClipFeatures,
    CorrelationListener,
    Listener,
    MatcherListener,
    changes,
    hear,
    late_by,
    misfits,
)
from experiments.studies import Study, matcher_hash, with_interval

NAME = "match_proof"
MATCHER, CORRELATIONS = "contrastive matcher", ("chroma correlation", "onset correlation")
PAIRED, UNLIKE = "own bass above", "unlike itself"
OTHER, LIKE = "other songs", "other songs, same tempo and key"
GROUP = 25
_GROUP_SECONDS = 12.0
_NOTES = """
R@1 and MRR: recall at 1 and mean reciprocal rank of each mix's own bass among as many basses as stated, exact
expectation over all ways to draw the others. "Same tempo and key": 25 songs of neighbouring tempo, 12 s of each from a
bar line on, all brought to one tempo and one tonic. AUC: probability that a mix with its own bass scores above a mix
(any) with a bass damaged in this way; "own bass above": share of mixes whose own bass is above that damaged bass.
Brackets: 95 % confidence interval, bootstrap over songs. Transposed basses are played again from their notes; shifted
ones are late by that many beats, the end coming in at the start. "Unlike itself": share of lines that, so late, play
fewer than half of their own notes (same pitch class within 50 ms), and AUC over these lines alone. "Own: ...": the own
bass, and it alone, is changed in a way that leaves its notes alone. "Same sound": the other song's notes, played by the
own bass's instrument. "Mix leaks in": the whole mix is added to the bass, 12 dB below its own level; a listener who
goes by what the two recordings share is taken in by it.
"""


@dataclass(frozen=True)
class MatchProof:
    """Retrieval and AUC of the matcher and of two baselines, on songs never trained on.

    Writes match_proof.jsonl, .csv, .md and .png. A second run computes nothing twice.
    """

    test: int = 100
    """Songs of the test split."""
    human: int = 73
    """Pieces of the human split; 0 leaves it out."""
    weights: Path = WEIGHTS
    """The matcher."""
    output: Path = Path("results")
    """Folder for the results."""
    processes: int = 2
    """Processes that render and listen."""
    seed: int = 0
    """Seed of the bootstrap."""

    def validate(self) -> None:
        """Raise BadInputError for values that cannot be measured."""
        check_limits(self)
        if self.test < 2 or self.human == 1 or self.human < 0:
            raise BadInputError("retrieval takes at least 2 songs of a split in --test and --human")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        counts = {"test": self.test, "human": self.human}
        requests = {split: clip_requests(split, count) for split, count in counts.items() if count}
        matcher = Matcher.from_pretrained(self.weights)
        studies.output_folder(self.output)
        rows = study(self, matcher, requests)
        proof_figure(self.output / f"{NAME}.png", [row for row in rows if row.metric in (AUC, UNLIKE_AUC)])
        STUDY.report(rows, self.output)


def study(config: MatchProof, matcher: Matcher, requests: dict[str, list[ClipRequest]]) -> list[Row]:
    """All rows, the missing ones measured: one task for each split."""
    listeners: list[Listener] = [
        MatcherListener(matcher, MATCHER),
        CorrelationListener("chroma"),
        CorrelationListener("onset"),
    ]
    weights = matcher_hash(matcher)
    protocol = {"clips": "23.8 s, the mix without its bass", "interval": "95 %, bootstrap over songs"}
    tasks = []
    for split, chosen in requests.items():
        measurements = studies.Measurements(NAME, len(chosen), config.seed, protocol)
        wanted: tuple[Measurement, ...] = ()
        for listener in listeners:
            own = {"weights": weights} if isinstance(listener, MatcherListener) else {}
            for against, metric in columns(split, len(chosen)):
                wanted += measurements.of(listener.name, {"split": split, "against": against, **own}, (metric,))

        def measure(advance: studies.Advance, split: str = split, chosen: list[ClipRequest] = chosen) -> list[Interval]:
            heard, about = hear(chosen, listeners, config.processes, advance)
            return [
                result
                for listener, clips in zip(listeners, heard, strict=True)
                for result in results(split, listener, clips, about, config.seed)
            ]

        tasks.append(studies.Task(wanted, measure))
    store = RowStore(config.output / f"{NAME}.jsonl")
    return studies.measure_missing(tasks, store, device="cpu", what=NAME)


def columns(split: str, count: int) -> Iterator[tuple[str, str]]:
    """(against, metric) of each number of one listener on a split of `count` songs, in the order of `results`."""
    for among in retrieval_sizes(count):
        yield OTHER, f"R@1 of {among}"
        yield OTHER, f"MRR of {among}"
    yield OTHER, AUC
    if split != "human":
        yield LIKE, f"R@1 of {min(GROUP, count)}"
    for name in changes():
        yield f"{OTHER}, own: {name}", f"R@1 of {count}"
    for name in misfits():
        yield name, AUC
        yield name, PAIRED
    for beats in SHIFTS:
        yield late_by(beats), UNLIKE
        yield late_by(beats), UNLIKE_AUC


def results(
    split: str, listener: Listener, clips: Sequence[ClipFeatures], about: Sequence[About], seed: int
) -> Iterator[Interval]:
    """The numbers of one listener in the order of `columns`."""

    def interval(values: Sequence[float] | np.ndarray) -> Interval:
        return mean_interval(values, generator=np.random.default_rng(seed))

    scores = listener.compare([clip.mix for clip in clips], [clip.bass for clip in clips])
    rank = ranks(scores)
    for among in retrieval_sizes(len(clips)):
        hit, reciprocal = expected_retrieval(rank, len(clips), among)
        yield interval(hit)
        yield interval(reciprocal)
    own = np.diag(scores).astype(float)
    yield auc_interval(own, scores, np.random.default_rng(seed))
    if split != "human":
        yield interval(like_hits(listener, clips, about))
    compared = [listener.compare([clip.mix], list(clip.others.values()))[0] for clip in clips]
    theirs = dict(zip(clips[0].others, np.array(compared, dtype=float).T, strict=True))
    for name in changes():
        changed = scores.astype(float)
        np.fill_diagonal(changed, theirs[name])
        yield interval(ranks(changed) == 1)
    for name in misfits():
        yield auc_interval(own, theirs[name], np.random.default_rng(seed))
        yield interval((own > theirs[name]) + 0.5 * (own == theirs[name]))
    for name in map(late_by, SHIFTS):
        unlike = np.array([song.same_late[name] < 0.5 for song in about])
        yield interval(unlike)
        if unlike.any():
            yield auc_interval(own[unlike], theirs[name][unlike], np.random.default_rng(seed))
        else:
            yield Interval(float("nan"), float("nan"), float("nan"))


def retrieval_sizes(count: int) -> list[int]:
    """How many basses each mix chooses from: 25 and all."""
    return sorted({min(GROUP, count), count})


def like_hits(listener: Listener, clips: Sequence[ClipFeatures], about: Sequence[About]) -> np.ndarray:
    """1 for each song whose bass is found among 25 songs brought to one tempo and one tonic, beginning on a bar."""
    order = np.argsort([song.tempo for song in about], kind="stable")
    hits = np.zeros(len(clips))
    size = min(GROUP, len(clips))
    frames = round(_GROUP_SECONDS * listener.frames_per_second)
    for start in range(0, len(clips) - size + 1, size):
        group = order[start : start + size]
        tempo = float(np.median([about[i].tempo for i in group]))
        mixes: list[np.ndarray] = []
        basses: list[np.ndarray] = []
        for i in group:
            song = about[i]
            bar = song.downbeats[0] * listener.frames_per_second if len(song.downbeats) else 0.0
            semitones = (-song.tonic + 6) % 12 - 6 if song.tonic >= 0 else 0
            for heard, moved in ((clips[i].mix, mixes), (clips[i].bass, basses)):
                moved.append(listener.move(heard, bar, tempo / song.tempo, semitones, frames))
        hits[group] = ranks(listener.compare(mixes, basses)) == 1
    whole = len(clips) // size * size
    return hits[order[:whole]]


def findings(rows: Sequence[Row]) -> str:
    """What these rows say of the matcher, in words, beside the better of the two correlations."""
    found = {(row.setting["split"], row.system, row.setting["against"], row.metric): row for row in rows}
    paragraphs = []
    for split, count in {row.setting["split"]: row.clips for row in rows}.items():

        def text(against: str, metric: str, split: str = split) -> str:
            return with_interval(found[split, MATCHER, against, metric])

        def value(against: str, metric: str, split: str = split) -> float:
            return found[split, MATCHER, against, metric].value

        everyone = f"R@1 of {count}"
        rivals = [found[split, other, OTHER, everyone].value for other in CORRELATIONS]
        said = [
            f"On the {split} split the matcher finds a mix's own bass among {count} in {text(OTHER, everyone)} of the "
            f"songs, the better correlation in {max(rivals):.2f}."
        ]
        if (split, MATCHER, LIKE, like := f"R@1 of {min(GROUP, count)}") in found:
            rivals = [found[split, other, LIKE, like].value for other in CORRELATIONS]
            said.append(
                f"Among {min(GROUP, count)} brought to one tempo and key: {text(LIKE, like)}, the better correlation "
                f"{max(rivals):.2f}."
            )
        transposed = min((name for name in misfits() if name.startswith("transposed")), key=lambda n: value(n, AUC))
        late = min((late_by(beats) for beats in SHIFTS if beats >= 0.5), key=lambda name: value(name, AUC))
        changed = min((f"{OTHER}, own: {name}" for name in changes()), key=lambda name: value(name, everyone))
        said += [
            f"Its weakest transposition is {transposed.removeprefix('transposed by ')}: AUC {text(transposed, AUC)}.",
            f"Its weakest shift of half a beat or more is {late}: AUC {text(late, AUC)}, though the song's own bass is",
            f"above that shifted form in {text(late, PAIRED)}. Of the lines, {value(late, UNLIKE):.0%} are unlike",
            f"themselves when so late; over these the AUC is {text(late, UNLIKE_AUC)}.",
            f"The change that costs most is {changed.rpartition(': ')[2]}: {everyone} {text(changed, everyone)}.",
            f"Against another song's bass with this mix leaking in the AUC is {text('other song, mix leaks in', AUC)},",
            f"against one with the own bass's sound {text('other song, same sound', AUC)}.",
        ]
        paragraphs.append(" ".join(said))
    return "\n\n".join(paragraphs)


def expected_retrieval(rank: np.ndarray, count: int, among: int) -> tuple[np.ndarray, np.ndarray]:
    """Hit rate and mean reciprocal rank of each mix when the others are `among` - 1 drawn from all `count` - 1."""
    above = np.arange(among)
    hits, reciprocals = [], []
    for better in np.rint(rank - 1).astype(int):
        share = hypergeom(count - 1, better, among - 1).pmf(above)
        hits.append(share[0])
        reciprocals.append(float((share / (above + 1)).sum()))
    return np.array(hits), np.array(reciprocals)


AUC, UNLIKE_AUC = "AUC", "AUC, unlike itself"
_PANELS = (
    ("transposed by ", "", "semitones"),
    ("late by ", " beats", "beats late (dashed: lines unlike themselves)"),
)


def proof_figure(path: Path, rows: Sequence[Row]) -> None:
    """Draw AUC rows whose setting "against" names a transposition or a delay; a line of panels for each split.

    Dashed: the AUC over lines unlike themselves when so late. The file appears whole or not at all.

    Raises:
        BadInputError: rows measured by different protocols, or the file cannot be written.
    """
    require_one_protocol(rows)
    splits = list(dict.fromkeys(row.setting["split"] for row in rows))
    systems = list(dict.fromkeys(row.system for row in rows))
    colours = dict(zip(systems, sns.color_palette("colorblind", len(systems)), strict=True))
    with panels(path, (8.0, 2.9 * len(splits))) as figure:
        grid = figure.subplots(len(splits), len(_PANELS), squeeze=False, sharey=True)
        for line, split in zip(grid, splits, strict=True):
            for axes, panel in zip(line, _PANELS, strict=True):
                chosen = [row for row in rows if row.setting["split"] == split]
                _panel(axes, chosen, panel, colours)
            line[0].set_title(f"{split} split", loc="left", fontweight="bold")
            line[0].set_ylabel("AUC")
        grid[0][0].legend(loc="lower left")


def _panel(axes: Axes, rows: Sequence[Row], panel: tuple[str, str, str], colours: dict) -> None:
    before, after, label = panel
    for system, colour in colours.items():
        for metric, line in ((AUC, "o-"), (UNLIKE_AUC, "x--")):
            found = []
            for row in rows:
                against = row.setting["against"]
                if (row.system, row.metric) == (system, metric) and against.startswith(before):
                    found.append((float(against.removeprefix(before).removesuffix(after)), row))
            found.sort(key=lambda item: item[0])
            places = [place for place, _ in found]
            name = system if metric == AUC else None
            shade = 0.18 if metric == AUC else 0.0
            curve(axes, places, [row for _, row in found], line, shade=shade, color=colour, label=name)
    axes.axhline(0.5, color="0.5", linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_xlabel(label)
    axes.set_ylim(0.0, 1.03)


STUDY = Study(
    name=NAME,
    question="What the matcher hears",
    title="Does the matcher know which bass fits?",
    default=MatchProof(),
    quick=MatchProof(test=6, human=4),
    full=MatchProof(),
    columns=("split", "against"),
    notes=_NOTES,
    findings=findings,
)

if __name__ == "__main__":
    STUDY.main(__doc__)
