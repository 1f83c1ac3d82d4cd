"""Accompaniment prompt adherence: the published formula, its ends, and what the embedder is given to hear."""

import numpy as np
import pytest

from bassbench.audio import loudness
from bassbench.errors import BadInputError
from bassbench.metrics.adherence import accompanied, adherence, adherence_score
from bassbench.metrics.fad import FewWindowsWarning, frechet_distance
from bassbench.metrics.gaussian import Gaussian


def _pairs(songs: int, seed: int, *, bond: float, windows: int = 6) -> list[np.ndarray]:
    """Songs whose "mix" and "bass" halves (4 dims each) go together as much as `bond` says, 0 to 1."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(songs):
        mix, other = generator.standard_normal((2, windows, 4))
        made.append(np.concatenate([mix, bond * mix + np.sqrt(1 - bond**2) * other], axis=1))
    return made


def _score(evaluated: list[np.ndarray], *, replicates: int = 30, seed: int = 0):
    reference, wrong = _pairs(60, 1, bond=0.9), _pairs(60, 2, bond=0.0)
    return adherence(reference, wrong, evaluated, generator=np.random.default_rng(seed), replicates=replicates)


def test_is_the_published_formula() -> None:
    c, r, w = (Gaussian.from_samples(np.concatenate(_pairs(30, i, bond=b))) for i, b in enumerate((0.5, 0.9, 0.0)))
    expected = 0.5 + (frechet_distance(c, w) - frechet_distance(c, r)) / (2 * frechet_distance(r, w))
    assert 0 < expected < 1
    assert adherence_score(c, r, w) == pytest.approx(expected, rel=1e-12)


def test_one_dimension_by_hand() -> None:
    def at(mean: float) -> Gaussian:
        return Gaussian(11, np.array([mean]), np.array([[10.0]]))

    # Squared distances: to R 1, to R' 9, between them 16: 1/2 + 8 / 32.
    assert adherence_score(at(1.0), at(0.0), at(4.0)) == pytest.approx(0.75)
    assert adherence_score(at(-1.0), at(0.0), at(4.0)) == 1 and adherence_score(at(7.0), at(0.0), at(4.0)) == 0
    assert adherence_score(at(0.0), at(0.0), at(4.0)) == 1 and adherence_score(at(4.0), at(0.0), at(4.0)) == 0
    assert np.isnan(adherence_score(at(1.0), at(2.0), at(2.0)))


def test_ranks_how_well_pairs_belong_together() -> None:
    results = [_score(_pairs(60, 3, bond=bond)) for bond in (0.0, 0.45, 0.9)]
    assert results[0].value < 0.1 and results[-1].value > 0.9
    assert results[0].high < results[1].value < results[2].low
    for result in results:
        assert 0 <= result.low <= result.value <= result.high <= 1


def test_depends_on_the_generator_alone() -> None:
    evaluated = _pairs(20, 3, bond=0.5)
    one, again, other = (_score(evaluated, seed=seed) for seed in (0, 0, 1))
    assert one == again and one.value == other.value and one.low != other.low
    statistics = [Gaussian.from_samples(song) for song in evaluated]
    assert _score(statistics).value == pytest.approx(one.value)


def test_one_song_has_no_interval() -> None:
    alone = _score(_pairs(1, 3, bond=0.5, windows=20))
    assert 0 <= alone.value <= 1 and np.isnan([alone.low, alone.high]).all()


def test_few_windows_are_warned_of_once() -> None:
    with pytest.warns(FewWindowsWarning, match="6 windows for 8 dimensions") as caught:
        _score(_pairs(1, 3, bond=0.5))
    assert len(caught) == 1 and caught[0].filename == __file__  # not once a replicate


def test_the_embedder_hears_both_at_one_level() -> None:
    generator = np.random.default_rng(0)
    mix, bass = (0.1 * generator.standard_normal((2, 44_100)).astype(np.float32) for _ in range(2))
    for level in (0.01, 1.0):
        together = accompanied(mix, level * bass)
        assert loudness(together - mix) == pytest.approx(loudness(mix), abs=0.1)
    np.testing.assert_array_equal(accompanied(mix, 0 * bass), mix)
    np.testing.assert_array_equal(accompanied(0 * mix, bass), bass)
    with pytest.raises(ValueError, match="equally long"):
        accompanied(mix, bass[:, 1:])


SONGS = _pairs(6, 1, bond=0.5)


@pytest.mark.parametrize(
    ("sets", "options", "message"),
    [
        ((SONGS, SONGS[:3], SONGS), {}, "mispaired once"),
        ((SONGS, SONGS, SONGS), {}, "equal embeddings"),
        (([], [], SONGS), {}, "nothing to pool"),
        ((SONGS, _pairs(6, 2, bond=0), [np.ones((9, 3))]), {}, "one embedder for both"),
        ((SONGS, _pairs(6, 2, bond=0), SONGS), {"replicates": 0}, "replicates"),
    ],
)
def test_bad_input_is_named(sets, options: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        adherence(*sets, generator=np.random.default_rng(0), **options)
