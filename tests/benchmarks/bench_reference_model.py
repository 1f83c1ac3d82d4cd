"""What the reference model costs: `pytest --benchmark-only tests/benchmarks/bench_reference_model.py`.

Shipped weights, clips of 23.8 s; on the GPU if there is one, waited for inside what is timed.
"""

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bassbench.audio import SAMPLE_RATE
from bassbench.pretrained import find_device
from reference_model import BassAccompaniment, Sampling, load

FRAMES, SAMPLES = 256, 256 * 4096


@pytest.fixture(scope="module")
def model() -> BassAccompaniment:
    return load("small", find_device("auto"))


def _finished(result: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def _real_time(benchmark: BenchmarkFixture, clips: int) -> None:
    seconds = clips * SAMPLES / SAMPLE_RATE
    benchmark.extra_info["times_real_time"] = round(seconds / benchmark.stats.stats.median, 1)
    benchmark.extra_info["device"] = find_device("auto").type


@pytest.mark.parametrize("clips", [1, 8])
def test_encode_a_mix(benchmark: BenchmarkFixture, model: BassAccompaniment, clips: int) -> None:
    audio = 0.1 * np.random.default_rng(0).standard_normal((clips, 2, SAMPLES)).astype(np.float32)
    latent = benchmark.pedantic(lambda: _finished(model.encode_mix(audio)), rounds=3, warmup_rounds=1)
    assert latent.shape == (clips, 64, FRAMES)
    _real_time(benchmark, clips)


@pytest.mark.parametrize("clips", [1, 8])
def test_decode_a_bass(benchmark: BenchmarkFixture, model: BassAccompaniment, clips: int) -> None:
    latent = torch.randn(clips, 32, FRAMES, generator=torch.Generator().manual_seed(0)).to(model.device)
    audio = benchmark.pedantic(lambda: _finished(model.decode(latent)), rounds=3, warmup_rounds=1)
    assert audio.shape == (clips, 2, SAMPLES)
    _real_time(benchmark, clips)


@pytest.mark.parametrize("clips", [1, 8])
@pytest.mark.parametrize(("steps", "cfg"), [(8, 1.0), (64, 2.0)])
def test_sample_latents(
    benchmark: BenchmarkFixture, model: BassAccompaniment, steps: int, cfg: float, clips: int
) -> None:
    mix = torch.randn(clips, 64, FRAMES, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(steps=steps, cfg=cfg)
    latent = benchmark.pedantic(
        lambda: _finished(model.generate_latents(mix, seeds=range(clips), sampling=sampling)), rounds=2, warmup_rounds=1
    )
    assert latent.shape == (clips, 32, FRAMES)
    _real_time(benchmark, clips)


@pytest.mark.parametrize("steps", [16, 64])
def test_accompany(benchmark: BenchmarkFixture, model: BassAccompaniment, steps: int) -> None:
    """A mix in, a bass out, with guidance."""
    mix = 0.1 * np.random.default_rng(0).standard_normal((1, 2, SAMPLES)).astype(np.float32)
    sampling = Sampling(steps=steps, cfg=2.0)
    bass = benchmark.pedantic(
        lambda: _finished(model.accompany(mix, seeds=[0], sampling=sampling)), rounds=2, warmup_rounds=1
    )
    assert bass.shape == mix.shape
    _real_time(benchmark, 1)
