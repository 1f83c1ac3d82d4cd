"""Density and coverage: equal to an independent count, ties and small sets defined, intervals that hold."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from windowed_songs import generator, normal_samples, song_set

from bassbench.errors import BadInputError
from bassbench.metrics import density as module
from bassbench.metrics.density import density_and_coverage, density_coverage, density_coverage_difference


@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (5, 0.0), (5, 0.5), (3, 3.0)])
def test_equals_a_count_with_sklearn(k: int, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, evaluated = normal_samples(80, 4, 1), normal_samples(60, 4, 2, shift=shift)
    radii = NearestNeighbors(n_neighbors=k).fit(reference).kneighbors()[0][:, -1]  # itself left out
    inside = np.array([[np.linalg.norm(y - x) < r for y in evaluated] for x, r in zip(reference, radii, strict=True)])
    expected = (inside.sum() / (k * len(evaluated)), inside.any(axis=1).mean())
    assert density_and_coverage(reference, evaluated, k=k) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(module, "_BLOCK_VALUES", 300)
    assert density_and_coverage(reference, evaluated, k=k) == pytest.approx(expected, rel=1e-12)


def test_by_hand_with_ties_on_the_edge() -> None:
    # Balls of k = 1: radius 1 round 0 and 1, radius 3 round 4. Only 2 lies inside one: |4 - 2| < 3; 1 off is outside.
    reference = np.array([[0.0], [1.0], [4.0]])
    assert density_and_coverage(reference, np.array([[2.0]]), k=1) == pytest.approx((1.0, 1 / 3))
    assert density_and_coverage(reference, np.array([[-1.0]]), k=1) == (0.0, 0.0)


def test_equal_references_hold_nothing() -> None:
    silent = np.ones((6, 3))
    assert density_and_coverage(silent, silent, k=5) == (0.0, 0.0)
    assert density_and_coverage(np.concatenate([silent, normal_samples(6, 3, 1)]), silent[:1], k=5)[1] <= 0.5


def test_a_set_covers_itself_and_crowds_raise_density() -> None:
    reference = normal_samples(200, 6, 1)
    assert density_and_coverage(reference, reference)[1] == 1.0
    same, crowd, far = (
        density_and_coverage(reference, normal_samples(200, 6, 2, scale=s, shift=m))
        for s, m in ((1.0, 0.0), (0.2, 0.0), (1.0, 20.0))
    )
    assert same[0] == pytest.approx(1, abs=0.25) and same[1] > 0.9
    assert crowd[0] > 2 and crowd[1] < 0.8 * same[1]
    assert far == (0.0, 0.0)


def test_smallest_sets() -> None:
    value = density_and_coverage(normal_samples(6, 3, 1), normal_samples(1, 3, 2), k=5)
    assert 0 <= value[0] <= 6 / 5 and 0 <= value[1] <= 1
    with pytest.raises(BadInputError, match="5 reference windows"):
        density_and_coverage(normal_samples(5, 3, 1), normal_samples(1, 3, 2), k=5)


def test_songs_of_one_window_give_the_published_form() -> None:
    reference, evaluated = normal_samples(50, 4, 1), normal_samples(40, 4, 2)
    result = density_coverage(list(reference[:, None]), list(evaluated[:, None]), generator=generator(), replicates=40)
    assert (result.density.value, result.coverage.value) == density_and_coverage(reference, evaluated)
    assert result.density.low < result.density.value < result.density.high
    assert result.coverage.low <= result.coverage.value <= result.coverage.high


def test_neighbours_are_of_other_songs() -> None:
    # Songs are points far apart; another take of a song is near it, but no window of its own counts as a neighbour.
    centres = 10 * normal_samples(12, 6, 1)
    reference = [centre + normal_samples(7, 6, i, scale=0.01) for i, centre in enumerate(centres)]
    evaluated = [centre + normal_samples(7, 6, 50 + i, scale=0.1) for i, centre in enumerate(centres)]
    assert density_and_coverage(np.concatenate(reference), np.concatenate(evaluated))[1] < 0.2
    assert density_coverage(reference, evaluated, generator=generator(), replicates=5).coverage.value == 1.0


def test_intervals_hold_the_means_at_that_many_songs() -> None:
    results = [
        density_coverage(song_set(25, 2 * i), song_set(25, 2 * i + 1, shift=0.3), generator=generator(i), replicates=80)
        for i in range(40)
    ]
    for name in ("density", "coverage"):
        intervals = [getattr(result, name) for result in results]
        mean = np.mean([interval.value for interval in intervals])
        assert np.mean([interval.low <= mean <= interval.high for interval in intervals]) >= 0.85
        assert np.mean([interval.high - interval.low for interval in intervals]) < 8 * np.std(
            [interval.value for interval in intervals]
        )


def test_seeded_and_undefined_for_one_song() -> None:
    sets = song_set(9, 1), song_set(7, 2)
    one, again, other = (density_coverage(*sets, generator=generator(s), replicates=30) for s in (0, 0, 1))
    assert one == again and one.density.low != other.density.low
    alone = density_coverage(song_set(9, 1), song_set(1, 2), generator=generator())
    assert np.isnan([alone.density.low, alone.coverage.high]).all() and np.isfinite(alone.density.value)


def test_difference_is_paired() -> None:
    reference, songs = song_set(30, 1), song_set(30, 2)
    worse = [song + 0.8 for song in songs]
    result = density_coverage_difference(reference, worse, songs, generator=generator(), replicates=60)
    assert result.density.high < 0 and result.coverage.high < 0
    same = density_coverage_difference(reference, songs, songs, generator=generator(), replicates=5)
    assert same.density.value == same.density.low == same.coverage.high == 0
    with pytest.raises(BadInputError, match="same songs"):
        density_coverage_difference(reference, songs, songs[:2], generator=generator())


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: density_and_coverage(normal_samples(9, 3, 1), normal_samples(9, 4, 1)), "one embedder for both"),
        (lambda: density_and_coverage(normal_samples(9, 3, 1), normal_samples(9, 3, 1), k=0), "k >= 1"),
        (lambda: density_and_coverage(normal_samples(9, 3, 1), np.ones((0, 3))), "without windows"),
        (lambda: density_coverage(song_set(1, 1, windows=9), song_set(3, 2), generator=generator()), "beside those"),
        (lambda: density_coverage(song_set(9, 1), song_set(3, 2), generator=generator(), replicates=0), "replicates"),
    ],
)
def test_bad_input_is_named(act, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        act()
