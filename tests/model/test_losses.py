"""The paper's reconstruction losses and the preset's own: known answers, unbiased draws, gradients."""

import math

import numpy as np
import pytest
import torch

from reference_model.losses import (
    MSSD_HOPS,
    band_level_loss,
    draw_hops,
    mel_bands,
    multi_scale_spectral_distance,
    reconstruction_loss,
)
from reference_model.stft import magnitude


def noise(seed: int, *shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_reconstruction_loss_is_the_mean_absolute_difference() -> None:
    decoded, target = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.zeros(2, 2)
    assert reconstruction_loss(decoded, target).item() == pytest.approx(7 / 4)
    # Weights 3 and 1 count like 1.5 and 0.5.
    assert reconstruction_loss(decoded, target, torch.tensor([3.0, 1.0])).item() == pytest.approx(7.5 / 4)


def test_mssd_has_the_papers_resolutions() -> None:
    assert MSSD_HOPS == (32, 64, 128, 256, 512, 2048, 4096)


@pytest.mark.parametrize("hop", MSSD_HOPS)
def test_mssd_matches_an_independent_stft(hop: int) -> None:
    audio, target = noise(0, 1, 2, 32768), noise(1, 1, 2, 32768)
    ours = multi_scale_spectral_distance(audio, target, (hop,)).item() / len(MSSD_HOPS)
    margin = (4 * hop - hop) // 2
    powers = [
        torch.stft(
            torch.nn.functional.pad(x[0], (margin, 3 * hop - margin)), 4 * hop, hop,
            window=torch.hann_window(4 * hop), center=False, return_complex=True,
        ).abs().square()
        for x in (audio, target)
    ]  # fmt: skip
    assert ours == pytest.approx((powers[0] - powers[1]).abs().mean().item(), rel=1e-4)


def test_drawn_resolutions_estimate_the_sum_without_bias() -> None:
    audio, target = noise(0, 1, 2, 32768), noise(1, 1, 2, 32768)
    whole = multi_scale_spectral_distance(audio, target).item()
    single = [multi_scale_spectral_distance(audio, target, (hop,)).item() for hop in MSSD_HOPS]
    assert np.mean(single) == pytest.approx(whole, rel=1e-4)
    generator = np.random.default_rng(0)
    drawn = [draw_hops(generator, 2) for _ in range(700)]
    assert all(len(set(pair)) == 2 for pair in drawn)
    counts = [sum(hop in pair for pair in drawn) for hop in MSSD_HOPS]
    assert min(counts) > 150 and draw_hops(generator, None) == MSSD_HOPS


def test_the_distance_is_zero_at_the_target_and_reaches_the_audio() -> None:
    audio = noise(0, 2, 2, 16384).requires_grad_(True)
    assert multi_scale_spectral_distance(audio, audio.detach(), (256, 512)).item() == pytest.approx(0.0, abs=1e-6)
    multi_scale_spectral_distance(audio, noise(1, 2, 2, 16384), (256, 512)).backward()
    assert audio.grad is not None and audio.grad.isfinite().all() and audio.grad.abs().sum() > 0


def test_band_level_loss_is_the_gain_in_nat() -> None:
    bands, target = mel_bands(4096), noise(0, 1, 2, 8, 2049).abs()
    assert band_level_loss(2 * target, target, bands, floor=1e-6).item() == pytest.approx(math.log(2), rel=1e-3)


@pytest.mark.parametrize("window", [1024, 2048, 4096])
def test_no_mel_band_is_empty(window: int) -> None:
    assert mel_bands(window).amax(0).min() >= 0.5


def test_magnitude_and_its_gradient_match_abs() -> None:
    spectrum = torch.randn(3, 5, dtype=torch.complex64, requires_grad=True)
    weight = torch.rand(3, 5)
    expected = torch.autograd.grad((spectrum.abs() * weight).sum(), spectrum)[0]
    assert torch.allclose(torch.autograd.grad((magnitude(spectrum) * weight).sum(), spectrum)[0], expected, atol=1e-6)
    silent = torch.zeros(2, dtype=torch.complex64, requires_grad=True)
    magnitude(silent).sum().backward()
    assert silent.grad is not None and silent.grad.abs().sum() == 0
