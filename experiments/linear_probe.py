"""Is the harmony still in the mix latents?  Linear classifiers of single latent frames: pitch classes and chord root.

The features of a frame are the standardised latents of it and of the two frames on either side (0.46 s in all); the
truth is the chord that sounds at the frame's centre. Frames without a chord are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.harmony import chord_at
from bassbench.metrics.statistics import Interval, statistic_interval
from bassbench.songs.song_bank import Chord
from reference_model.presets import R_TIME

CONTEXT = 2
_TRAIN_EVERY = 4  # neighbouring frames say nearly the same
_RESAMPLES = 200


@dataclass(frozen=True)
class ProbeSong:
    """Frames of one song: features `(frames, dims)`, sounding pitch classes `(frames, 12)`, roots `(frames,)`."""

    features: np.ndarray
    chroma: np.ndarray
    root: np.ndarray


def probe_song(latent: np.ndarray, chords: Sequence[Chord]) -> ProbeSong:
    """The frames of a mix latent `(dims, frames)` in which a chord sounds.

    Raises:
        ValueError: not `(dims, frames)`, or no chords.
    """
    if latent.ndim != 2 or not chords:
        raise ValueError("a probe needs a latent (dims, frames) and the chords of its song")
    count = latent.shape[1]
    padded = np.pad(latent, ((0, 0), (CONTEXT, CONTEXT)), mode="edge")
    features = np.concatenate([padded[:, shift : shift + count] for shift in range(2 * CONTEXT + 1)]).T
    index = chord_at((np.arange(count) + 0.5) * R_TIME / SAMPLE_RATE, chords)
    sounding = index >= 0
    tones = np.zeros((len(chords), 12), dtype=bool)
    for row, chord in enumerate(chords):
        tones[row, [pitch % 12 for pitch in chord.pitch_classes]] = True
    roots = np.array([chord.root % 12 for chord in chords])
    return ProbeSong(features[sounding], tones[index[sounding]], roots[index[sounding]])


def probe(
    train: Sequence[ProbeSong], test: Sequence[ProbeSong], *, generator: np.random.Generator
) -> dict[str, Interval]:
    """ "chroma": mean area under the ROC curve over pitch classes; "root": accuracy; intervals over test songs."""
    features = np.concatenate([song.features[::_TRAIN_EVERY] for song in train])
    chroma = np.concatenate([song.chroma[::_TRAIN_EVERY] for song in train])
    root = np.concatenate([song.root[::_TRAIN_EVERY] for song in train])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    tested = np.concatenate([song.features for song in test])
    features, tested = (features - mean) / deviation, (tested - mean) / deviation
    song = np.repeat(np.arange(len(test)), [len(one.root) for one in test])
    truth = np.concatenate([one.chroma for one in test])
    curves = []
    for pitch in range(12):
        if not 0 < chroma[:, pitch].mean() < 1 or not 0 < truth[:, pitch].mean() < 1:
            continue
        scores = _classifier().fit(features, chroma[:, pitch]).decision_function(tested)
        order = np.argsort(scores)
        curves.append((song[order], truth[order, pitch]))
    right = np.full(len(tested), float("nan"))
    if len(np.unique(root)) > 1:
        right = _classifier().fit(features, root).predict(tested) == np.concatenate([one.root for one in test])

    def area(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(test))
        return float(np.mean([_area(times[songs], positive) for songs, positive in curves])) if curves else np.nan

    def accuracy(drawn: np.ndarray) -> float:
        return float(np.average(right, weights=np.bincount(drawn, minlength=len(test))[song]))

    return {
        "chroma": _interval(area, len(test), generator),
        "root": _interval(accuracy, len(test), generator),
    }


def _classifier() -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=150, tol=1e-3)


def _interval(statistic: Callable[[np.ndarray], float], songs: int, generator: np.random.Generator) -> Interval:
    return statistic_interval(statistic, songs, generator=generator, resamples=_RESAMPLES)


def _area(weight: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of weighted items in ascending order of score; NaN without both classes."""
    above, below = weight * positive, weight * ~positive
    pairs = float(above.sum()) * float(below.sum())
    return float(above @ (np.cumsum(below) - below / 2)) / pairs if pairs else float("nan")
