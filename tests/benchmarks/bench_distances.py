"""Distances between sets of embeddings, beside fadtk's on the same statistics."""

import importlib.util
from functools import partial

import numpy as np
import pytest
import torch
from measuring import Measure

from bassbench.metrics.fad import fad, frechet_distance
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.kernel import kernel_distance

DIMS = (128, 256, 512, 1024, 2048)


def _sides(dim: int) -> list[Gaussian]:
    return [Gaussian.from_samples(np.random.default_rng(i).standard_normal((2 * dim, dim))) for i in (1, 2)]


@pytest.mark.parametrize("dim", DIMS)
def test_frechet_distance(measure: Measure, dim: int) -> None:
    sides = _sides(dim)
    assert measure(lambda: frechet_distance(*sides), group="Fréchet distance", case=f"d = {dim}", dim=dim) > 0


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.filterwarnings("ignore")
def test_fadtk_frechet_distance(measure: Measure, costly: bool, dim: int) -> None:
    if importlib.util.find_spec("fadtk") is None:
        pytest.skip("fadtk is not installed")
    if dim > 1024 and not costly:
        pytest.skip("takes a minute (--costly)")
    gradients = torch.is_grad_enabled()
    from fadtk.fad import calc_frechet_distance

    torch.set_grad_enabled(gradients)
    a, b = _sides(dim)
    work = partial(calc_frechet_distance, a.mean, a.covariance, b.mean, b.covariance)
    case = {"group": "Fréchet distance", "case": f"d = {dim}", "system": "fadtk", "dim": dim}
    found = measure(work, rounds=1 if dim > 512 else None, **case)
    assert found == pytest.approx(frechet_distance(a, b), rel=1e-3)


def test_fad_with_interval(measure: Measure) -> None:
    """60 songs a side, 7 windows each, 200 dims, 100 bootstrap replicates."""
    generator = np.random.default_rng(0)
    sets = [[Gaussian.from_samples(song) for song in generator.standard_normal((60, 7, 200))] for _ in range(2)]
    measure(
        lambda: fad(*sets, generator=np.random.default_rng(0), replicates=100),
        group="Fréchet distance",
        case="with an interval, d = 200",
        dim=200,
    )


@pytest.mark.parametrize("windows", [500, 1000, 2000])
def test_kernel_distance(measure: Measure, windows: int) -> None:
    sides = np.random.default_rng(0).standard_normal((2, windows, 200))
    measure(lambda: kernel_distance(*sides), group="kernel distance", case=f"{windows} windows a side", windows=windows)
