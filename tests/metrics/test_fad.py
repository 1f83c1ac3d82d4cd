"""Fréchet distance and FAD: closed forms, independent implementations, invariances, honest intervals."""

import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.linalg
import torch

from bassbench.errors import BadInputError
from bassbench.metrics.fad import FewWindowsWarning, fad, fad_difference, fad_infinity, frechet_distance
from bassbench.metrics.gaussian import Gaussian


def _samples(count: int, dim: int, seed: int, *, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Correlated normal samples `(count, dim)`."""
    generator = np.random.default_rng(seed)
    blend = np.random.default_rng(99).standard_normal((dim, dim)) / np.sqrt(dim)
    return scale * generator.standard_normal((count, dim)) @ blend + shift


def _gaussian(count: int, dim: int, seed: int, **options: float) -> Gaussian:
    return Gaussian.from_samples(_samples(count, dim, seed, **options))


def _set(songs: int, dim: int, seed: int, *, windows: int = 7, **options: float) -> list[np.ndarray]:
    """Songs whose windows are alike: half of the variance is the song's own."""
    own = _samples(songs, dim, seed, **options) * np.sqrt(0.5)
    each = _samples(songs * windows, dim, seed + 1) * np.sqrt(0.5) * options.get("scale", 1.0)
    return [own[i] + each[i * windows : (i + 1) * windows] for i in range(songs)]


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def grad_flag() -> Iterator[None]:
    """fadtk may switch gradients off for the whole process when it is imported."""
    before = torch.is_grad_enabled()
    yield
    torch.set_grad_enabled(before)


@pytest.mark.parametrize("dim", [16, 128, 512])
@pytest.mark.filterwarnings("ignore")
def test_equals_fadtk(dim: int, grad_flag: None) -> None:
    theirs = pytest.importorskip("fadtk.fad", reason="needs pip install 'bassbench[fadtk]'")
    one, other = _samples(2 * dim, dim, 1), _samples(3 * dim, dim, 2, shift=0.1, scale=1.2)
    expected = theirs.calc_frechet_distance(*theirs.calc_embd_statistics(one), *theirs.calc_embd_statistics(other))
    ours = frechet_distance(Gaussian.from_samples(one), Gaussian.from_samples(other))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("dim", [2, 30, 100])
def test_equals_the_matrix_square_root(dim: int) -> None:
    a, b = _gaussian(5 * dim, dim, 1), _gaussian(5 * dim, dim, 2, shift=0.3)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
    expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-10)


def test_one_dimension_by_hand() -> None:
    # Means 1 and 4, deviations 2 and 3: 3^2 + (2 - 3)^2.
    a, b = Gaussian(11, np.array([1.0]), np.array([[40.0]])), Gaussian(5, np.array([4.0]), np.array([[36.0]]))
    assert frechet_distance(a, b) == pytest.approx(10.0, rel=1e-12)


def test_commuting_covariances_by_hand() -> None:
    first, second = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    a, b = Gaussian(11, np.zeros(3), 10 * np.diag(first)), Gaussian(11, np.ones(3), 10 * np.diag(second))
    expected = 3 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_distance_is_a_symmetric_invariant() -> None:
    one, other = _samples(300, 20, 1), _samples(300, 20, 2, shift=0.2, scale=1.5)
    expected = frechet_distance(Gaussian.from_samples(one), Gaussian.from_samples(other))
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0]
    shuffled = _generator().permutation(one)
    for a, b in [(other, one), (shuffled, other), (one @ rotation + 7, other @ rotation + 7)]:
        value = frechet_distance(Gaussian.from_samples(a), Gaussian.from_samples(b))
        assert value == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(Gaussian.from_samples(3 * one), Gaussian.from_samples(3 * other)) == pytest.approx(
        9 * expected, rel=1e-9
    )


def test_same_set_is_at_zero() -> None:
    a = _gaussian(300, 20, 1)
    assert 0 <= frechet_distance(a, a) < 1e-10


def test_constant_embeddings_are_defined() -> None:
    silent = Gaussian.from_samples(np.ones((40, 20)))
    real = _gaussian(300, 20, 1)
    assert frechet_distance(silent, silent) == 0
    expected = ((real.mean - 1) ** 2).sum() + np.trace(real.covariance)
    assert frechet_distance(silent, real) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(real, silent) == pytest.approx(expected, rel=1e-12)


def test_few_windows_warn_and_agree_with_sqrtm() -> None:
    a, b = _gaussian(12, 20, 1), _gaussian(300, 20, 2)
    with pytest.warns(FewWindowsWarning, match="12 windows for 20 dimensions"):
        value = frechet_distance(a, b)
    eigenvalues = np.linalg.eigvals(a.covariance @ b.covariance).real
    root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance) - 2 * root
    assert value == pytest.approx(expected, rel=1e-6)


def test_fad_is_the_distance_of_the_pooled_songs() -> None:
    reference, evaluated = _set(20, 8, 1), _set(15, 8, 5, shift=0.3)
    result = fad(reference, evaluated, generator=_generator(), replicates=20)
    expected = frechet_distance(*(Gaussian.from_samples(np.concatenate(songs)) for songs in (reference, evaluated)))
    assert result.value == pytest.approx(expected, rel=1e-10)
    assert (result.songs, result.reference_songs, result.windows, result.reference_windows) == (15, 20, 105, 140)
    assert result.dim == 8 and result.replicates == 20
    statistics = [[Gaussian.from_samples(song) for song in songs] for songs in (reference, evaluated)]
    assert fad(*statistics, generator=_generator(), replicates=20) == result


@pytest.mark.parametrize("resample", ["independent", "paired", "evaluated"])
def test_fad_depends_on_the_generator_alone(resample: str) -> None:
    sets = _set(20, 8, 1), _set(20, 8, 5)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (fad(*sets, generator=_generator(s), replicates=50, resample=resample) for s in (3, 3, 4))
    assert one == again and one.value == other.value and one.low != other.low
    assert 0 <= one.low <= one.value <= one.high and one.bias > 0
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_the_interval_holds_the_mean_distance_at_that_many_songs() -> None:
    # What 40 studies of 30 songs find on average; the unshifted percentile interval misses it most of the time.
    results = [
        fad(_set(30, 8, 10 * i), _set(30, 8, 10 * i + 5, shift=0.3), generator=_generator(i), replicates=100)
        for i in range(40)
    ]
    mean = np.mean([result.value for result in results])
    assert np.mean([result.low <= mean <= result.high for result in results]) >= 0.85
    assert np.mean([result.low + result.bias <= mean <= result.high + result.bias for result in results]) < 0.85


def test_more_songs_narrow_the_interval() -> None:
    widths = []
    for songs in (20, 180):
        result = fad(_set(songs, 8, 1), _set(songs, 8, 5, shift=0.5), generator=_generator(), replicates=100)
        widths.append(result.high - result.low)
    assert widths[1] < widths[0] / 2


def test_pairing_sees_that_songs_belong_together() -> None:
    songs = _set(40, 8, 1)
    coded = [song + 0.05 * np.random.default_rng(i).standard_normal(song.shape) for i, song in enumerate(songs)]
    apart = fad(songs, coded, generator=_generator(), replicates=50)
    paired = fad(songs, coded, generator=_generator(), replicates=50, resample="paired")
    assert paired.value == apart.value and paired.high - paired.low < (apart.high - apart.low) / 5


def test_one_song_has_no_interval() -> None:
    reference = _set(20, 4, 1)
    alone = fad(reference, reference[:1], generator=_generator())
    assert np.isfinite(alone.value) and np.isnan([alone.low, alone.high, alone.bias]).all()
    both = fad(reference[:1], reference, generator=_generator(), replicates=20, resample="evaluated")
    assert np.isfinite([both.low, both.high]).all()


def test_difference_cancels_what_the_songs_share() -> None:
    reference, songs = _set(40, 8, 1), _set(40, 8, 5)
    slightly_worse = [song + 0.15 for song in songs]
    alone = [fad(reference, system, generator=_generator(), replicates=100) for system in (slightly_worse, songs)]
    assert alone[0].low < alone[1].high  # the separate intervals overlap
    result = fad_difference(reference, slightly_worse, songs, generator=_generator(), replicates=100)
    assert result.value == pytest.approx(alone[0].value - alone[1].value, rel=1e-9)
    assert result.high - result.low < (alone[0].high - alone[0].low)
    swapped = fad_difference(reference, songs, slightly_worse, generator=_generator(), replicates=100)
    assert swapped.value == pytest.approx(-result.value) and swapped.low == pytest.approx(-result.high)
    same = fad_difference(reference, songs, songs, generator=_generator(), replicates=10)
    assert same.value == same.low == same.high == 0


def test_infinity_removes_most_of_the_bias() -> None:
    plain, extrapolated = [], []
    for seed in range(20):
        sets = _set(60, 8, 10 * seed), _set(60, 8, 10 * seed + 5)
        plain.append(fad(*sets, generator=_generator(), replicates=1).value)
        extrapolated.append(fad_infinity(*sets, generator=_generator(), steps=4, draws=5).value)
    assert abs(np.mean(extrapolated)) < 0.4 * np.mean(plain)


def test_infinity_is_seeded_and_ends_at_the_plain_distance() -> None:
    sets = _set(40, 8, 1), _set(30, 8, 5, shift=0.3)
    one, again, other = (fad_infinity(*sets, generator=_generator(seed)) for seed in (0, 0, 1))
    assert one == again and one.value != other.value
    assert one.slope > 0 and 0.8 < one.r2 <= 1 and len(one.points) == 8
    whole = [Gaussian.from_samples(np.concatenate(songs)) for songs in sets]
    assert one.points[-1] == (1.0, pytest.approx(frechet_distance(*whole), rel=1e-10))


def test_infinity_warns_when_subsets_are_thin() -> None:
    with pytest.warns(FewWindowsWarning, match="14 windows for 30 dimensions"):
        fad_infinity(_set(8, 30, 1), _set(4, 30, 5), generator=_generator(), draws=1)


def test_a_replicate_never_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fad(_set(20, 16, 1), _set(3, 16, 5), generator=_generator(), replicates=20)
        fad_difference(_set(20, 16, 1), _set(3, 16, 5), _set(3, 16, 7), generator=_generator(), replicates=20)
    with pytest.warns(FewWindowsWarning) as caught:
        fad(_set(20, 30, 1), _set(3, 30, 5), generator=_generator(), replicates=20)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_our_metric_does_not_import_fadtk() -> None:
    assert "fadtk" not in vars(sys.modules["bassbench.metrics.fad"])


SONGS = _set(4, 3, 1)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: fad([], SONGS, generator=_generator()), "reference set is empty"),
        (lambda: fad(SONGS, [], generator=_generator()), "evaluated set is empty"),
        (lambda: fad(SONGS, _set(4, 5, 1), generator=_generator()), "one embedder for both"),
        (lambda: fad(SONGS, [np.ones((1, 3))], generator=_generator()), "two windows"),
        (lambda: fad(SONGS, [*SONGS, np.ones((0, 3))], generator=_generator()), "without windows"),
        (lambda: fad(SONGS, SONGS[:3], generator=_generator(), resample="paired"), "cannot pair 3"),
        (lambda: fad(SONGS, SONGS, generator=_generator(), resample="both"), "'independent'"),  # type: ignore[arg-type]
        (lambda: fad(SONGS, SONGS, generator=_generator(), replicates=0), "replicates"),
        (lambda: fad(SONGS, SONGS, generator=_generator(), confidence=95), "confidence"),
        (lambda: fad_difference(SONGS, SONGS, SONGS[:2], generator=_generator()), "same songs"),
        (lambda: fad_difference(SONGS, SONGS, SONGS, generator=_generator(), replicates=0), "replicates"),
        (lambda: fad_infinity(SONGS, SONGS[:3], generator=_generator()), "4 songs"),
        (lambda: fad_infinity(SONGS, SONGS, generator=_generator(), steps=1), "steps"),
        (lambda: fad_infinity(SONGS, SONGS, generator=_generator(), smallest=0), "smallest"),
        (lambda: frechet_distance(Gaussian.empty(3), Gaussian.from_samples(SONGS[0])), "two windows"),
    ],
)
def test_bad_input_is_named(act, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        act()
