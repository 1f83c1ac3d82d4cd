"""The fast ways from audio to latents and back equal the plain ones, which training uses."""

import dataclasses

import numpy as np
import pytest
import torch

from reference_model.analysis import analyse
from reference_model.autoencoder import Autoencoder, Spectrum
from reference_model.config import AUTOENCODERS, R_TIME, AutoencoderConfig, Stage
from reference_model.phase import neutral_advance, noise_phase
from reference_model.phase_integration import integrate
from reference_model.stft import StreamingInverse, istft, stft
from reference_model.synthesis import synthesise

TINY = AUTOENCODERS["tiny"]["bass"]
STAGES = tuple(Stage(2, 8, 1) for _ in range(4))
LAYOUTS = {
    "linear path": TINY,
    "paper's layout": dataclasses.replace(
        AUTOENCODERS["paper"]["bass"], dims=8, encoder=STAGES, decoder=STAGES, top_hz=4_000.0
    ),
}


def perturbed(config: AutoencoderConfig) -> Autoencoder:
    torch.manual_seed(1)
    model = Autoencoder(config)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.ndim > 1:
            tensor.data += 0.02 * torch.randn_like(tensor)
    return model.eval().requires_grad_(False)


def plainly(model: Autoencoder, latent: torch.Tensor) -> torch.Tensor:
    """Audio of latents `(batch, frames, dims)`, all at once."""
    config, bins = model.config, model.config.network_bins
    below = model.decoded(latent)
    noise = noise_phase(0, latent.shape[1], (2, config.frames_per_latent, config.bins)).transpose(0, 1).flatten(1, 2)
    cosine, sine = below.cosine, below.sine
    if config.integrate_phase:
        advance, delay = torch.atan2(sine[:, :2], cosine[:, :2]).unbind(1)
        advance = advance + neutral_advance(bins, config.window // config.hop)
        size, silent = model.magnitude(below.log_magnitude[:, 0]).numpy(), np.zeros(bins, np.float32)
        steps = zip(size, advance.numpy(), (delay + torch.pi).numpy(), strict=True)
        phases = [integrate(*three, noise[0, :, :bins].numpy(), silent, silent) for three in steps]
        mid = torch.from_numpy(np.stack(phases))
        cosine, sine = (torch.stack([f(mid), x[:, 2]], 1) for f, x in ((torch.cos, cosine), (torch.sin, sine)))
    low = model.complex_spectrum(Spectrum(below.log_magnitude, cosine, sine))
    size = model.magnitude(model.linear_log_magnitude(latent, slice(bins, None)))
    return model.waveform(torch.cat([low, torch.polar(size, noise[..., bins:].expand_as(size))], dim=-1))


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("chunk", [20, 512])
def test_synthesis_equals_the_plain_way(config: AutoencoderConfig, chunk: int) -> None:
    model = perturbed(config)
    latent = torch.randn(2, 70, config.dims, generator=torch.Generator().manual_seed(0))
    audio = torch.cat(list(synthesise(model, latent, 70 * R_TIME, chunk=chunk)), dim=-1)
    expected = plainly(model, latent)
    assert audio.shape == expected.shape
    torch.testing.assert_close(audio, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_analysis_equals_the_plain_way(config: AutoencoderConfig) -> None:
    model = perturbed(config)
    audio = 0.1 * torch.randn(2, 2, 37 * R_TIME, generator=torch.Generator().manual_seed(0))
    expected = model.latent(model.log_magnitude(audio))
    torch.testing.assert_close(analyse(model, audio), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


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
