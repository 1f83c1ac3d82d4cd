"""Gaussian statistics: equal to numpy on all samples together however they are split, ordered or repeated."""

import functools

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.metrics.gaussian import Gaussian

SAMPLES = np.random.default_rng(0).standard_normal((200, 12)) @ np.random.default_rng(1).standard_normal((12, 12)) + 5
PARTS = [Gaussian.from_samples(part) for part in np.split(SAMPLES, [1, 4, 60, 60, 190])]


def _assert_same(one: Gaussian, other: Gaussian, tolerance: float = 1e-12) -> None:
    assert one.count == other.count
    np.testing.assert_allclose(one.mean, other.mean, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=tolerance, atol=tolerance * np.abs(other.scatter).max())


def test_equals_numpy() -> None:
    gaussian = Gaussian.from_samples(SAMPLES)
    assert gaussian.count == 200 and gaussian.dim == 12
    np.testing.assert_allclose(gaussian.mean, SAMPLES.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(SAMPLES, rowvar=False), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (3, 0, 5, 2, 4, 1)])
def test_merging_equals_the_whole_in_any_order(order: tuple[int, ...]) -> None:
    whole = Gaussian.from_samples(SAMPLES)
    parts = [PARTS[index] for index in order]
    _assert_same(sum(parts, Gaussian.empty(12)), whole)
    _assert_same(functools.reduce(Gaussian.merge, parts), whole)
    _assert_same(Gaussian.pooled(parts), whole)


def test_merge_is_associative() -> None:
    a, b, c = PARTS[1], PARTS[2], PARTS[4]
    _assert_same((a + b) + c, a + (b + c))


def test_empty_is_the_identity() -> None:
    whole, empty = Gaussian.from_samples(SAMPLES), Gaussian.empty(12)
    for merged in (whole + empty, empty + whole, Gaussian.pooled([empty, whole])):
        _assert_same(merged, whole, 0)
    assert (empty + empty).count == 0
    assert Gaussian.from_samples(np.empty((0, 12))).count == 0


def test_multiplicities_repeat_samples() -> None:
    times = [2, 0, 3, 1, 1, 0]
    repeated = np.concatenate(
        [part for part, count in zip(np.split(SAMPLES, [1, 4, 60, 60, 190]), times, strict=True) for _ in range(count)]
    )
    _assert_same(Gaussian.pooled(PARTS, times), Gaussian.from_samples(repeated))
    assert Gaussian.pooled(PARTS, [0] * 6).count == 0


def test_a_large_offset_costs_no_precision() -> None:
    samples = SAMPLES + 1e6
    merged = Gaussian.from_samples(samples[:77]) + Gaussian.from_samples(samples[77:])
    np.testing.assert_allclose(merged.covariance, np.cov(samples, rowvar=False), rtol=1e-8, atol=1e-8)


def test_statistics_are_values() -> None:
    mean = np.zeros(3)
    gaussian = Gaussian(4, mean, np.eye(3))
    mean[0] = 9.0
    assert gaussian.mean[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        gaussian.scatter[0, 0] = 2.0
    assert Gaussian.from_samples(SAMPLES.astype(np.float32)).mean.dtype == np.float64


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Gaussian.from_samples(np.ones(3)), "windows, dim"),
        (lambda: Gaussian.from_samples(np.full((2, 2), np.nan)), "NaN or Inf"),
        (lambda: Gaussian.from_samples(np.ones((1, 3))).covariance, "two samples"),
        (lambda: Gaussian.empty(3) + Gaussian.empty(4), "size 3"),
        (lambda: Gaussian(1, np.ones(2), np.ones((3, 3))), "scatter"),
        (lambda: Gaussian.pooled([]), "at least one"),
        (lambda: Gaussian.pooled([Gaussian.empty(2), Gaussian.empty(3)]), "different sizes"),
        (lambda: Gaussian.pooled(PARTS, [1]), "whole number"),
        (lambda: Gaussian.pooled(PARTS, [0.5] * 6), "whole number"),
        (lambda: Gaussian.pooled(PARTS, [1, 1, 1, 1, 1, -1]), "whole number"),
    ],
)
def test_bad_input_is_named(act, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        act()
