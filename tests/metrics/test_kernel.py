"""Kernel audio distance: equal to independent implementations, unbiased, an interval that is not too narrow."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel
from windowed_songs import generator, normal_samples, song_set

from bassbench.errors import BadInputError
from bassbench.metrics import kernel as module
from bassbench.metrics.kernel import kernel, kernel_difference, kernel_distance, median_distance


def _naive(reference: np.ndarray, evaluated: np.ndarray, bandwidth: float) -> float:
    """Equation 3 of Gretton et al. 2012, pair by pair."""

    def value(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-((x - y) ** 2).sum() / (2 * bandwidth**2)))

    def within(side: np.ndarray) -> float:
        pairs = [value(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j]
        return float(np.mean(pairs))

    across = float(np.mean([value(x, y) for x in reference for y in evaluated]))
    return 100 * (within(reference) + within(evaluated) - 2 * across)


def test_equals_the_definition_pair_by_pair() -> None:
    reference, evaluated = normal_samples(23, 6, 1, shift=50), normal_samples(17, 6, 2, shift=50.4, scale=1.3)
    distances = sorted(pdist(reference))
    bandwidth = distances[(len(distances) - 1) // 2]
    assert median_distance(reference) == pytest.approx(bandwidth, rel=1e-12)
    assert kernel_distance(reference, evaluated) == pytest.approx(_naive(reference, evaluated, bandwidth), abs=1e-9)
    assert kernel_distance(reference, evaluated, bandwidth=2.5) == pytest.approx(
        _naive(reference, evaluated, 2.5), abs=1e-9
    )


def test_equals_sklearn_kernels_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, evaluated = normal_samples(300, 40, 1, shift=-3), normal_samples(200, 40, 2, shift=-2.9)
    gamma = 1 / (2 * median_distance(reference) ** 2)
    xx, yy = (rbf_kernel(side, gamma=gamma) for side in (reference, evaluated))
    expected = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    value = 100 * (sum(expected) - 2 * rbf_kernel(reference, evaluated, gamma=gamma).mean())
    assert kernel_distance(reference, evaluated) == pytest.approx(value, abs=1e-9)
    monkeypatch.setattr(module, "_BLOCK_VALUES", 700)
    assert kernel_distance(reference, evaluated) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 50, 51])
def test_median_in_small_blocks_is_exact(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = normal_samples(count, 5, count)
    distances = sorted(pdist(samples))
    monkeypatch.setattr(module, "_BLOCK_VALUES", 60)
    assert median_distance(samples) == pytest.approx(distances[(len(distances) - 1) // 2], rel=1e-9)


def test_median_of_many_equal_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.repeat(np.array([[0.0, 0.0], [3.0, 4.0]]), 20, axis=0)  # 400 pairs at 5, 380 at 0
    monkeypatch.setattr(module, "_BLOCK_VALUES", 60)
    assert median_distance(samples) == pytest.approx(5.0, rel=1e-8)


def test_the_bandwidth_is_the_reference_s() -> None:
    narrow, wide = normal_samples(60, 8, 1), normal_samples(60, 8, 2, scale=4)
    assert kernel_distance(narrow, wide) == kernel_distance(narrow, wide, bandwidth=median_distance(narrow))
    assert kernel_distance(narrow, wide) != pytest.approx(kernel_distance(wide, narrow), rel=0.1)


def test_unbiased_for_independent_windows() -> None:
    values = [
        kernel_distance(normal_samples(40, 5, 2 * i), normal_samples(25, 5, 2 * i + 1), bandwidth=3.0)
        for i in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


def test_farther_is_larger_and_rotation_is_nothing() -> None:
    reference = normal_samples(200, 8, 1)
    values = [kernel_distance(reference, normal_samples(200, 8, 2, shift=shift)) for shift in (0, 0.3, 0.6, 1.2)]
    assert values == sorted(values) and values[-1] > 10 * abs(values[0])
    rotation = np.linalg.qr(normal_samples(8, 8, 3))[0]
    moved = normal_samples(200, 8, 2, shift=0.3)
    assert kernel_distance(5 * reference @ rotation + 7, 5 * moved @ rotation + 7) == pytest.approx(values[1], rel=1e-9)


def test_songs_pooled_give_the_plain_distance() -> None:
    reference, evaluated = song_set(9, 1), song_set(7, 2, windows=3, shift=0.4)
    result = kernel(reference, evaluated, generator=generator(), replicates=50)
    assert result.value == pytest.approx(
        kernel_distance(np.concatenate(reference), np.concatenate(evaluated)), abs=1e-9
    )
    assert result.low <= result.value <= result.high
    again, other = (kernel(reference, evaluated, generator=generator(seed), replicates=50) for seed in (0, 1))
    assert again == result and other.low != result.low


def test_a_replicate_is_the_mean_over_pairs_of_different_songs_copies() -> None:
    # Songs 0, 0, 2 drawn: pairs within a copy and pairs of different songs, none across the two copies of song 0.
    songs = [normal_samples(count, 4, count) for count in (2, 4, 3)]
    windows = module.SongWindows.stacked(songs, "reference")
    sums, times = module._kernel_sums(windows, windows, 2.0), np.array([2, 0, 1])
    drawn = [(0, "a"), (0, "b"), (2, "a")]
    total = pairs = 0.0
    for first in drawn:
        for second in drawn:
            if first[0] == second[0] and first != second:
                continue
            values = rbf_kernel(songs[first[0]], songs[second[0]], gamma=1 / 8)
            total += values.sum() - (np.trace(values) if first == second else 0)
            pairs += values.size - (len(values) if first == second else 0)
    assert module._mean_of_pairs(sums, windows.counts, times) == pytest.approx(total / pairs, rel=1e-12)


def test_the_interval_holds_the_mean_distance_at_that_many_songs() -> None:
    results = [
        kernel(song_set(25, 2 * i), song_set(25, 2 * i + 1, shift=0.3), generator=generator(i), replicates=80)
        for i in range(40)
    ]
    mean = np.mean([result.value for result in results])
    assert np.mean([result.low <= mean <= result.high for result in results]) >= 0.9
    width = np.mean([result.high - result.low for result in results])
    assert width < 8 * np.std([result.value for result in results])  # twice what it need be at the most


def test_more_songs_narrow_the_interval() -> None:
    widths = []
    for songs in (15, 120):
        result = kernel(song_set(songs, 1), song_set(songs, 2, shift=0.5), generator=generator(), replicates=80)
        widths.append(result.high - result.low)
    assert widths[1] < widths[0] / 2


def test_difference_cancels_what_the_songs_share() -> None:
    reference, songs = song_set(30, 1), song_set(30, 2)
    worse = [song + 0.4 for song in songs]
    result = kernel_difference(reference, worse, songs, generator=generator(), replicates=80)
    apart = [kernel(reference, system, generator=generator(), replicates=80) for system in (worse, songs)]
    assert result.value == pytest.approx(apart[0].value - apart[1].value, abs=1e-9) and result.low > 0
    same = kernel_difference(reference, songs, songs, generator=generator(), replicates=5)
    assert same.value == same.low == same.high == 0


def test_one_song_has_no_interval() -> None:
    result = kernel(song_set(9, 1), song_set(1, 2), generator=generator())
    assert np.isfinite(result.value) and np.isnan([result.low, result.high]).all()


SONGS = song_set(4, 1)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: kernel_distance(SONGS[0], np.ones((5, 3))), "one embedder for both"),
        (lambda: kernel_distance(SONGS[0], SONGS[1][:1]), "two windows"),
        (lambda: kernel_distance(SONGS[0], SONGS[1] * np.nan), "evaluated set's embeddings hold NaN"),
        (lambda: kernel_distance(np.ones((9, 8)), SONGS[1]), "bandwidth must be above 0"),
        (lambda: kernel_distance(SONGS[0], SONGS[1], bandwidth=-1), "bandwidth must be above 0"),
        (lambda: kernel([], SONGS, generator=generator()), "reference set is empty"),
        (lambda: kernel(SONGS, SONGS, generator=generator(), replicates=0), "replicates"),
        (lambda: kernel_difference(SONGS, SONGS, SONGS[:2], generator=generator()), "same songs"),
        (lambda: median_distance(np.ones((1, 4))), "two windows"),
    ],
)
def test_bad_input_is_named(act, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        act()
