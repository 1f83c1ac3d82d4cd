"""Does the matcher know which bass fits?  Retrieval and damaged basses, beside two correlations anyone would try first.

    python -m experiments.match_proof

Every mix of the test split, and of the human split, is compared with every bass, and its own bass with damaged forms of
itself: transposed (played again from its notes), shifted, from elsewhere in the song, silence, noise. Run it again to
go on where it was cut off.
"""

import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy.stats import hypergeom

from bassbench.audio import SAMPLE_RATE
from bassbench.bad_input import BadInputError, exit_on_bad_input
from bassbench.baselines import noise
from bassbench.bootstrap import RESAMPLES, Interval, mean_interval
from bassbench.datasets import ClipRequest, cached_clip, clip_requests
from bassbench.files import content_hash
from bassbench.render import Clip, Note, Part, render_parts
from bassbench.rows import Measurement, Row, RowStore
from contrastive.encoder import Matcher
from contrastive.scoring import WEIGHTS
from contrastive.songs import tonic_of
from contrastive.validation import ranks
from experiments.match_figure import proof_figure
from experiments.match_listeners import CorrelationListener, Listener, MatcherListener
from reference_model import studies

NAME = "match_proof"
AUC, PAIRED = "AUC", "own bass above"
OTHER, LIKE = "other songs", "other songs, same tempo and key"
SHIFTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Beats."""
SEMITONES = (-4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7)
GROUP = 25
_GROUP_SECONDS = 12.0
_NOTES = """
R@1 and MRR: recall at 1 and mean reciprocal rank of each mix's own bass among as many basses as stated, exact
expectation over all ways to draw the others. "Same tempo and key": 25 songs of neighbouring tempo, 12 s of each from a
bar line on, all brought to one tempo and one tonic. AUC: probability that a mix with its own bass scores above a mix
(any) with a bass damaged in this way; "own bass above": share of mixes whose own bass is above that damaged bass.
Brackets: 95 % confidence interval, bootstrap over songs. Transposed basses are played again from their notes; shifted
ones are late by that many beats, the end coming in at the start.
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
        if self.test < 2 or self.human == 1 or self.human < 0:
            raise BadInputError("retrieval takes at least 2 songs of a split in --test and --human")
        if self.processes < 1 or self.seed < 0:
            raise BadInputError("--processes must be at least 1 and --seed at least 0")

    def run(self) -> None:
        """Measure what is missing, print the table and write the report."""
        self.validate()
        counts = {"test": self.test, "human": self.human}
        requests = {split: clip_requests(split, count) for split, count in counts.items() if count}
        matcher = Matcher.from_pretrained(self.weights)
        studies.output_folder(self.output)
        rows = study(self, matcher, requests)
        title = "Does the matcher know which bass fits?"
        studies.report(rows, self.output, NAME, title=title, settings=("split", "against"), notes=_NOTES)
        proof_figure(self.output / f"{NAME}.png", [row for row in rows if row.metric == AUC])


@dataclass(frozen=True)
class Heard:
    """What one listener heard of one clip: the mix, its bass, and its damaged basses by name."""

    mix: np.ndarray
    bass: np.ndarray
    damaged: dict[str, np.ndarray]


@dataclass(frozen=True)
class About:
    """What is known of one clip: tonic (-1 unknown), tempo, and the times of its bars in seconds."""

    tonic: int
    tempo: float
    downbeats: np.ndarray


def study(config: MatchProof, matcher: Matcher, requests: dict[str, list[ClipRequest]]) -> list[Row]:
    """All rows, the missing ones measured: one task for each split."""
    listeners: list[Listener] = [
        MatcherListener(matcher),
        CorrelationListener("chroma"),
        CorrelationListener("onset"),
    ]
    weights = weights_hash(matcher)
    tasks = []
    for split, chosen in requests.items():
        wanted = tuple(
            Measurement(
                experiment=NAME,
                system=listener.name,
                setting={
                    "split": split,
                    "against": against,
                    **({"weights": weights} if isinstance(listener, MatcherListener) else {}),
                },
                metric=metric,
                clips=len(chosen),
                seed=config.seed,
                protocol={"clips": "23.8 s, the mix without its bass", "interval": "95 %, bootstrap over songs"},
            )
            for listener in listeners
            for against, metric in columns(split, len(chosen))
        )

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
    for name in damage_names():
        yield name, AUC
        yield name, PAIRED


def results(
    split: str, listener: Listener, clips: Sequence[Heard], about: Sequence[About], seed: int
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
    for name in damage_names():
        damaged = np.array([listener.compare([clip.mix], [clip.damaged[name]])[0, 0] for clip in clips], dtype=float)
        yield auc_interval(own, damaged, np.random.default_rng(seed))
        yield interval((own > damaged) + 0.5 * (own == damaged))


def retrieval_sizes(count: int) -> list[int]:
    """How many basses each mix chooses from: 25 and all."""
    return sorted({min(GROUP, count), count})


def expected_retrieval(rank: np.ndarray, count: int, among: int) -> tuple[np.ndarray, np.ndarray]:
    """Hit rate and mean reciprocal rank of each mix when the others are `among` - 1 drawn from all `count` - 1."""
    above = np.arange(among)
    hits, reciprocals = [], []
    for better in np.rint(rank - 1).astype(int):
        share = hypergeom(count - 1, better, among - 1).pmf(above)
        hits.append(share[0])
        reciprocals.append(float((share / (above + 1)).sum()))
    return np.array(hits), np.array(reciprocals)


def auc_interval(own: np.ndarray, against: np.ndarray, generator: np.random.Generator) -> Interval:
    """Probability that an own score `(songs,)` is above one of `against`, ties half; bootstrap over songs.

    `against` is `(songs,)`, or `(songs, songs)` with the own scores on its diagonal, which do not count.
    """
    rows = against[:, None] if against.ndim == 1 else _without_diagonal(against)
    # above[i, j]: the share of song j's damaged scores that song i's own score is above.
    compared = own[:, None, None]
    above = ((compared > rows) + 0.5 * (compared == rows)).mean(axis=2)
    drawn = generator.integers(len(own), size=(RESAMPLES, len(own)))
    low, high = np.quantile([above[np.ix_(index, index)].mean() for index in drawn], [0.025, 0.975])
    return Interval(float(above.mean()), float(low), float(high))


def like_hits(listener: Listener, clips: Sequence[Heard], about: Sequence[About]) -> np.ndarray:
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


def hear(
    requests: Sequence[ClipRequest], listeners: Sequence[Listener], processes: int, advance: studies.Advance
) -> tuple[list[list[Heard]], list[About]]:
    """What every listener heard of every clip, by listener, and what is known of the clips."""
    work: Callable[[ClipRequest], tuple[list[Heard], About]] = functools.partial(hear_clip, tuple(listeners))
    found = []
    if processes > 1:
        with multiprocessing.get_context("spawn").Pool(processes, torch.set_num_threads, (1,)) as pool:
            for result in pool.imap(work, requests):
                found.append(result)
                advance()
    else:
        for request in requests:
            found.append(work(request))
            advance()
    return [list(clips) for clips in zip(*(heard for heard, _ in found), strict=True)], [about for _, about in found]


def hear_clip(listeners: Sequence[Listener], request: ClipRequest) -> tuple[list[Heard], About]:
    """One clip and its damaged basses, heard by each listener."""
    clip = cached_clip(request)
    seed = int(content_hash(request.key)[:8], 16)
    damaged = {name: damage(clip, seed) for name, damage in damages().items()}
    heard = [
        Heard(
            listener.hear(clip.mix),
            listener.hear(clip.bass),
            {name: listener.hear(audio) for name, audio in damaged.items()},
        )
        for listener in listeners
    ]
    return heard, About(tonic_of(clip.key), clip.tempo, np.array(clip.downbeats))


def damages() -> dict[str, Callable[[Clip, int], np.ndarray]]:
    """Ways to damage a bass, by name: functions of (clip, seed) to audio `(2, samples)`."""
    ways: dict[str, Callable[[Clip, int], np.ndarray]] = {}
    for semitones in SEMITONES:
        ways[f"transposed by {semitones:+d}"] = functools.partial(_transposed, semitones)
    for beats in SHIFTS:
        ways[f"late by {beats:g} beats"] = functools.partial(_late, beats)
    ways["other section"] = _other_section
    ways["silence"] = lambda clip, seed: np.zeros_like(clip.bass)
    ways["noise"] = lambda clip, seed: noise(clip, clip, seed)
    return ways


def damage_names() -> list[str]:
    """Names of all damages, in order."""
    return list(damages())


def weights_hash(matcher: Matcher) -> str:
    """Eight hexadecimal digits of a matcher's weights."""
    parts: list[bytes | str] = []
    for name, tensor in sorted(matcher.state_dict().items()):
        parts += [name, tensor.detach().cpu().contiguous().numpy().tobytes()]
    return content_hash(*parts)[:8]


def _without_diagonal(scores: np.ndarray) -> np.ndarray:
    return scores[~np.eye(len(scores), dtype=bool)].reshape(len(scores), -1)


def _transposed(semitones: int, clip: Clip, seed: int) -> np.ndarray:
    notes = tuple(Note(n.start, n.end, min(n.pitch + semitones, 127), n.velocity) for n in clip.bass_notes)
    return render_parts([Part("bass", clip.bass_program, False, notes, volume=120, reverb=20)], clip.seconds)


def _late(beats: float, clip: Clip, seed: int) -> np.ndarray:
    return np.roll(clip.bass, round(beats * _beat_seconds(clip) * SAMPLE_RATE), axis=1)


def _other_section(clip: Clip, seed: int) -> np.ndarray:
    """From the bar line nearest to half the clip on, then from the start."""
    half = clip.seconds / 2
    bars = np.diff(clip.downbeats) if len(clip.downbeats) > 1 else np.array([4 * _beat_seconds(clip)])
    bar = float(np.median(bars))
    return np.roll(clip.bass, -round(max(round(half / bar), 1) * bar * SAMPLE_RATE), axis=1)


def _beat_seconds(clip: Clip) -> float:
    return float(np.median(np.diff(clip.beats))) if len(clip.beats) > 1 else 60.0 / clip.tempo


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        tyro.cli(MatchProof, description=__doc__).run()


if __name__ == "__main__":
    main()
