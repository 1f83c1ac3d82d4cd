"""Metrics of sets of clips: how the embeddings of what a system gave lie to those of real bass.

Each is a function of `EmbeddedSets` and a generator to a value with a 95 % interval over songs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bassbench.metrics.adherence import adherence
from bassbench.metrics.density import density_coverage, density_coverage_difference
from bassbench.metrics.fad import fad, fad_difference, fad_infinity, per_song_fad
from bassbench.metrics.kernel import kernel, kernel_difference
from bassbench.metrics.statistics import Interval, mean_interval

MIN_SONGS = 6  # density and coverage look at five neighbours
_REPLICATES = 200

Songs = list[np.ndarray]
"""One array `(windows, dim)` a song."""


@dataclass(frozen=True)
class EmbeddedSets:
    """What set metrics compare, each made when first asked for; song i of each evaluated list is the same song.

    `bass` are the evaluated basses and `reference` real basses of other songs; `pairs` are the evaluated basses with
    their mixes, `reference_pairs` real basses with their mixes, and `mispaired` real basses with mixes of other songs.
    """

    make_bass: Callable[[], Songs]
    make_reference: Callable[[], Songs]
    make_pairs: Callable[[], Songs]
    make_reference_pairs: Callable[[], Songs]
    make_mispaired: Callable[[], Songs]
    replicates: int | None = None
    """Bootstrap replicates of each interval (None: the metric's own number); 1 where only the value is of use."""

    @property
    def drawn(self) -> dict[str, int]:
        """Arguments of the functions that draw replicates."""
        return {} if self.replicates is None else {"replicates": self.replicates}

    @cached_property
    def bass(self) -> Songs:
        return self.make_bass()

    @cached_property
    def reference(self) -> Songs:
        return self.make_reference()

    @cached_property
    def pairs(self) -> Songs:
        return self.make_pairs()

    @cached_property
    def reference_pairs(self) -> Songs:
        return self.make_reference_pairs()

    @cached_property
    def mispaired(self) -> Songs:
        return self.make_mispaired()


@dataclass(frozen=True)
class SetMetric:
    """One number of a set of clips; as `bassbench.metrics.metric.ClipMetric` otherwise.

    `difference` gives (reference, first, second, generator) -> the paired difference of two systems on the same songs.
    """

    name: str
    unit: str
    direction: str
    citation: str
    measure: Callable[[EmbeddedSets, np.random.Generator], Interval]
    version: int = 1
    pairs: bool = False
    """Whether it hears basses together with their mixes."""
    difference: Callable[[Songs, Songs, Songs, np.random.Generator], Interval] | None = None


def _fad(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    result = fad(sets.reference, sets.bass, generator=generator, replicates=sets.replicates or _REPLICATES)
    return Interval(result.value, result.low, result.high)


def _fad_difference(reference: Songs, first: Songs, second: Songs, generator: np.random.Generator) -> Interval:
    result = fad_difference(reference, first, second, generator=generator, replicates=_REPLICATES)
    return Interval(result.value, result.low, result.high)


def _fad_infinity(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    return Interval(fad_infinity(sets.reference, sets.bass, generator=generator).value, np.nan, np.nan)


def _per_song(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    distances = per_song_fad(sets.reference, sets.bass)
    return mean_interval(distances[np.isfinite(distances)], generator=generator)


def _per_song_difference(reference: Songs, first: Songs, second: Songs, generator: np.random.Generator) -> Interval:
    differences = per_song_fad(reference, first) - per_song_fad(reference, second)
    return mean_interval(differences[np.isfinite(differences)], generator=generator)


def _kad(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    return kernel(sets.reference, sets.bass, generator=generator, **sets.drawn)


def _kad_difference(reference: Songs, first: Songs, second: Songs, generator: np.random.Generator) -> Interval:
    return kernel_difference(reference, first, second, generator=generator)


def _density(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    return density_coverage(sets.reference, sets.bass, generator=generator, **sets.drawn).density


def _density_difference(reference: Songs, first: Songs, second: Songs, generator: np.random.Generator) -> Interval:
    return density_coverage_difference(reference, first, second, generator=generator).density


def _coverage(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    return density_coverage(sets.reference, sets.bass, generator=generator, **sets.drawn).coverage


def _coverage_difference(reference: Songs, first: Songs, second: Songs, generator: np.random.Generator) -> Interval:
    return density_coverage_difference(reference, first, second, generator=generator).coverage


def _adherence(sets: EmbeddedSets, generator: np.random.Generator) -> Interval:
    return adherence(sets.reference_pairs, sets.mispaired, sets.pairs, generator=generator, **sets.drawn)


_FAD_PAPER, _INFINITY_PAPER = "Kilgour et al. 2019, arXiv 1812.08466", "Gui et al. 2024, arXiv 2311.01616"
_KAD_PAPER, _DENSITY_PAPER = "Chung et al. 2025, arXiv 2502.15602", "Naeem et al. 2020, arXiv 2002.09797"
_ADHERENCE_PAPER = "Grachten & Nistal 2025, arXiv 2503.06346"

SET_METRICS: dict[str, SetMetric] = {
    metric.name: metric
    for metric in (
        SetMetric("FAD", "", "lower", _FAD_PAPER, _fad, difference=_fad_difference),
        SetMetric("FAD-infinity", "", "lower", _INFINITY_PAPER, _fad_infinity),
        SetMetric("per-song FAD", "", "lower", _INFINITY_PAPER, _per_song, difference=_per_song_difference),
        SetMetric("KAD", "", "lower", _KAD_PAPER, _kad, difference=_kad_difference),
        SetMetric("density", "", "higher", _DENSITY_PAPER, _density, difference=_density_difference),
        SetMetric("coverage", "", "higher", _DENSITY_PAPER, _coverage, difference=_coverage_difference),
        SetMetric("prompt adherence", "", "higher", _ADHERENCE_PAPER, _adherence, pairs=True),
    )
}
