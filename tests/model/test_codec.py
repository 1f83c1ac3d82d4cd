"""The fast ways from audio to latents and back equal the plain ones, which training uses."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_model import perturbed

from reference_model import codec
from reference_model.phase import integrate
from reference_model.presets import PRESETS, R_TIME, AutoencoderConfig, Stage
from reference_model.stft import StreamingInverse, istft, stft

TINY = PRESETS["tiny"].autoencoders["bass"]
STAGES = tuple(Stage(2, 8, 1) for _ in range(4))
LAYOUTS = {
    "linear path": TINY,
    "paper's layout": dataclasses.replace(
        PRESETS["paper"].autoencoders["bass"], dims=8, encoder=STAGES, decoder=STAGES, top_hz=4_000.0
    ),
}


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("chunk", [20, 512])
def test_synthesis_equals_the_plain_way(config: AutoencoderConfig, chunk: int) -> None:
    model = perturbed(config)
    latent = torch.randn(2, config.dims, 70, generator=torch.Generator().manual_seed(0))
    audio = codec.decode(model, latent, chunk=chunk)
    expected = model.decode(latent)
    assert audio.shape == expected.shape
    torch.testing.assert_close(audio, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_analysis_equals_the_plain_way(config: AutoencoderConfig) -> None:
    model = perturbed(config)
    audio = 0.1 * torch.randn(2, 2, 37 * R_TIME, generator=torch.Generator().manual_seed(0))
    expected = model.encode(audio)
    torch.testing.assert_close(codec.encode(model, audio), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("pieces", [[40], [1] * 40, [3, 30, 7], [2, 2, 36]])
def test_a_streaming_inverse_equals_the_inverse(pieces: list[int]) -> None:
    spectrum = stft(torch.randn(2, 2, 40 * 256), 1024, 256)
    inverse = StreamingInverse(1024, 256)
    parts = [inverse.add(piece) for piece in spectrum.split(pieces, dim=-2)] + [inverse.rest()]
    torch.testing.assert_close(torch.cat(parts, dim=-1), istft(spectrum, 1024, 256))


def test_integration_pops_the_strongest_bin_first() -> None:
    """Against a plain implementation with a heap of tuples."""
    generator = np.random.default_rng(0)
    size = (generator.exponential(size=(12, 60)) ** 3).astype(np.float32)
    size[generator.random(size.shape) < 0.3] = 0
    advance, delay, initial = generator.uniform(-3, 3, (3, *size.shape)).astype(np.float32)
    before, phase_before = size[-1].copy(), initial[-1].copy()
    found = integrate(size, advance, delay, initial, before, phase_before)
    np.testing.assert_array_equal(found, _integrated_simply(size, advance, delay, initial, before, phase_before))


def _integrated_simply(
    size: np.ndarray, advance: np.ndarray, delay: np.ndarray, initial: np.ndarray, before: np.ndarray, last: np.ndarray
) -> np.ndarray:
    result = initial.copy()
    for n, current in enumerate(size):
        floor = max(current.max(), before.max()) * 1e-4
        left = set(np.flatnonzero(current > floor))
        candidates = [(-before[k], False, k) for k in left if before[k] > floor]
        while left:
            if not candidates:
                k = max(left, key=lambda k: current[k])
                left.discard(k)
                candidates = [(-current[k], True, k)]
            _, is_current, k = candidates.pop(candidates.index(min(candidates)))
            reached = [(k, last[k] + advance[n, k])]
            if is_current:
                upper = delay[n, k + 1] if k + 1 < len(current) else np.float32(0)
                reached = [(k + 1, result[n, k] + upper), (k - 1, result[n, k] - delay[n, k])]
            for other, phase in reached:
                if other in left:
                    result[n, other] = phase
                    left.discard(other)
                    candidates.append((-current[other], True, other))
        before, last = current, result[n]
    return result
