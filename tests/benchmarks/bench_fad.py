"""How fast distances and embeddings are: `pytest --benchmark-only tests/benchmarks/bench_fad.py` (one thread)."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bassbench.audio import SAMPLE_RATE
from bassbench.embed import EMBEDDERS, embed
from bassbench.fad import fad, frechet_distance
from bassbench.gaussian import Gaussian

CLIP_SAMPLES = 1_048_576  # 23.8 s


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _songs(songs: int, dim: int, seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((songs, 7, dim)))


@pytest.mark.parametrize("dim", [128, 200, 512, 1024])
def test_frechet_distance(benchmark: BenchmarkFixture, dim: int) -> None:
    a, b = (Gaussian.from_samples(np.random.default_rng(i).standard_normal((2 * dim, dim))) for i in (1, 2))
    assert benchmark(frechet_distance, a, b) > 0


@pytest.mark.parametrize("dim", [128, 512])
@pytest.mark.filterwarnings("ignore")
def test_fadtk_frechet_distance(benchmark: BenchmarkFixture, dim: int) -> None:
    flag = torch.is_grad_enabled()
    from fadtk.fad import calc_frechet_distance

    torch.set_grad_enabled(flag)
    a, b = (Gaussian.from_samples(np.random.default_rng(i).standard_normal((2 * dim, dim))) for i in (1, 2))
    benchmark.pedantic(calc_frechet_distance, (a.mean, a.covariance, b.mean, b.covariance), rounds=3)


def test_fad_with_interval(benchmark: BenchmarkFixture) -> None:
    """60 songs a side, 200 dims, 500 replicates."""
    sets = [[Gaussian.from_samples(song) for song in _songs(60, 200, seed)] for seed in (1, 2)]
    benchmark.pedantic(fad, sets, {"generator": np.random.default_rng(0)}, rounds=3)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_embed_a_clip(benchmark: BenchmarkFixture, name: str) -> None:
    """One stereo clip of 23.8 s: fold-down, resampling and loudness included."""
    clip = np.random.default_rng(0).standard_normal((2, CLIP_SAMPLES)).astype(np.float32) * 0.1
    result = benchmark.pedantic(embed, (clip, SAMPLE_RATE, name), rounds=5, warmup_rounds=1)
    assert len(result) >= 7
    benchmark.extra_info["times_real_time"] = round(CLIP_SAMPLES / SAMPLE_RATE / benchmark.stats.stats.median, 1)
