"""Accompaniment prompt adherence (APA): does the bass belong to its mix, rather than to any mix?

Grachten & Nistal 2025 (arXiv 2503.06346), after Grachten 2024 (arXiv 2404.00775). What is embedded is mix and bass
together (`accompanied`). With C the evaluated pairs, R real pairs, R' the mixes of R with real basses of other songs
and FAD the (squared) Fréchet distance,

    APA = 1/2 + (FAD(C, R') - FAD(C, R)) / (2 FAD(R, R')),   clipped to 0 and 1 as in the authors' library.

Higher is better: 1 is like real pairs, 0 like mispaired ones, 0.5 equally far from both. Unlike the authors we keep
all embedding dimensions (no PCA), and any embedder serves; theirs is CLAP. What is seen depends on it: MusiCNN tells
another song's bass (0.32 against 0.56 for the real one, 20 + 20 test songs) but hardly a bass one semitone too high
(0.53); the latents of the reference bass autoencoder tell both (0.21 and 0.26 against 0.42), but not one that is a
quarter of a beat late (0.40). So those are the default here. APA compares sets only: a bass that is far from every real
one may score anything, so read it beside FAD, and time by the match.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from bassbench.audio import loudness, loudness_normalise
from bassbench.errors import BadInputError
from bassbench.metrics.fad import FewWindowsWarning, Song, frechet_distance
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.statistics import Interval, resampled, shifted_interval


def accompanied(mix: np.ndarray, bass: np.ndarray) -> np.ndarray:
    """Mix and bass `(channels, samples)` together, the bass brought to the loudness of the mix; may exceed full scale.

    The levels are made equal, as in the authors' library, so that the score is not one of level. A silent bass adds
    nothing, to a silent mix the bass is added as it is.

    Raises:
        ValueError: the shapes differ.
    """
    if mix.shape != bass.shape:
        raise ValueError(f"mix and bass must be equally long and wide, got {mix.shape} and {bass.shape}")
    level = loudness(mix)
    return mix + (loudness_normalise(bass, level) if np.isfinite(level) else bass)


def adherence_score(evaluated: Gaussian, reference: Gaussian, mispaired: Gaussian) -> float:
    """APA from the statistics of embeddings of the three sets; NaN where real and mispaired pairs do not differ.

    Does not warn of few windows; `adherence` does.

    Raises:
        BadInputError: different dims, or a set with fewer than two windows.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)
        width = frechet_distance(reference, mispaired)
        nearer = frechet_distance(evaluated, mispaired) - frechet_distance(evaluated, reference)
    # Equal sets come out some rounding errors apart.
    if width <= 1e-12 * float(np.trace(reference.covariance) + reference.mean @ reference.mean):
        return float("nan")
    return float(np.clip(0.5 + nearer / (2 * width), 0, 1))


def adherence(
    reference: Sequence[Song],
    mispaired: Sequence[Song],
    evaluated: Sequence[Song],
    *,
    generator: np.random.Generator,
    replicates: int = 200,
) -> Interval:
    """APA with a 95 % bootstrap interval over songs; a song is its window embeddings `(windows, dim)` or `Gaussian`.

    Song i of `mispaired` has the mix of song i of `reference`, and both are drawn together; the evaluated songs are
    drawn apart from them and should be others: of the same songs, real basses score 1 whatever the embedder hears.
    Replicates hold fewer distinct songs; the interval is shifted back by their mean excess and clipped as the value.

    Warns with `FewWindowsWarning` when a set has fewer windows than dimensions.

    Raises:
        BadInputError: an empty set, unequal numbers of reference and mispaired songs, different dims, fewer than two
            windows a set, real and mispaired pairs that do not differ, or replicates < 1.
    """
    real, wrong, ours = (
        [song if isinstance(song, Gaussian) else Gaussian.from_samples(song) for song in songs]
        for songs in (reference, mispaired, evaluated)
    )
    if len(real) != len(wrong):
        raise BadInputError(f"each reference song is mispaired once: got {len(real)} and {len(wrong)} songs")
    whole = [Gaussian.pooled(songs) for songs in (ours, real, wrong)]
    value = adherence_score(*whole)
    fewest = min(side.count for side in whole)
    if fewest < whole[0].dim:
        message = f"{fewest} windows for {whole[0].dim} dimensions: compare only at equal counts, better use more songs"
        warnings.warn(message, FewWindowsWarning, stacklevel=2)
    if np.isnan(value):
        raise BadInputError("real and mispaired pairs have equal embeddings: pair the mixes with basses of other songs")

    def replicate() -> float:
        times = resampled(len(real), generator)
        drawn = Gaussian.pooled(ours, resampled(len(ours), generator))
        return adherence_score(drawn, Gaussian.pooled(real, times), Gaussian.pooled(wrong, times))

    low, high, _ = shifted_interval(value, replicate, replicates, possible=min(len(real), len(ours)) > 1)
    return Interval(value, *(float(np.clip(end, 0, 1)) for end in (low, high)))
