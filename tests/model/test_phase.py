"""Phase: noise that knows its place, Griffin-Lim, and losses blind to a phase's origin."""

import math

import pytest
import torch

from reference_model.losses import phase_losses
from reference_model.phase import griffin_lim, neutral_advance, noise_phase, unit
from reference_model.stft import istft, stft


def spectrum(seed: int = 0) -> torch.Tensor:
    audio = torch.randn(2, 2, 8192, generator=torch.Generator().manual_seed(seed))
    return stft(0.1 * audio, 1024, 256)


def phases(target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mid, side = target.unbind(1)
    angle = torch.stack([mid.angle(), side.angle() - mid.angle()], 1)
    return angle.cos(), angle.sin()


def test_noise_depends_on_the_absolute_frame_alone() -> None:
    whole = noise_phase(0, 10, (2, 4, 5))
    assert torch.equal(noise_phase(6, 4, (2, 4, 5)), whole[6:])
    assert not torch.equal(whole[0], whole[1])
    assert whole.min() >= 0 and whole.max() <= 2 * math.pi + 1e-5


def test_unit_has_length_one_and_a_finite_gradient_at_zero() -> None:
    cosine, sine = unit(torch.tensor([3.0, -0.1]), torch.tensor([4.0, 0.0]))
    assert torch.allclose(cosine, torch.tensor([0.6, -1.0]), atol=1e-4)
    assert torch.allclose(sine, torch.tensor([0.8, 0.0]), atol=1e-4)
    zero = torch.zeros(1, requires_grad=True)
    unit(zero, torch.zeros(1))[0].sum().backward()
    assert zero.grad is not None and zero.grad.isfinite().all()


def steps(target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mid's phase steps beyond the neutral ones, and the side's relative phase."""
    mid, side = target.unbind(1)
    angle, neutral = mid.angle(), neutral_advance(mid.shape[-1], 4)
    in_time = torch.diff(angle, dim=1, prepend=angle[:, :1]) - neutral
    over_bins = torch.diff(angle, dim=2, prepend=angle[:, :, :1]) - math.pi
    angle = torch.stack([in_time, over_bins, side.angle() - angle], 1)
    return angle.cos(), angle.sin()


@pytest.mark.parametrize(("truth", "overlap"), [(phases, None), (steps, 4)])
def test_losses_are_zero_at_the_target_and_one_for_random_phase(truth, overlap) -> None:
    target = spectrum()
    cosine, sine = truth(target)
    assert all(abs(loss.item()) < 1e-4 for loss in phase_losses(cosine, sine, target, overlap=overlap).values())
    angle = 2 * math.pi * torch.rand(cosine.shape, generator=torch.Generator().manual_seed(9))
    for name, loss in phase_losses(angle.cos(), angle.sin(), target, overlap=overlap).items():
        assert loss.item() == pytest.approx(1.0, abs=0.03), name


def test_losses_do_not_mind_the_origin_of_the_phase() -> None:
    target = spectrum()
    angle = torch.atan2(*reversed(phases(target)))
    constant = angle + torch.tensor([1.234, 0.0])[:, None, None]
    assert all(
        loss.abs() < 1e-4 for loss in phase_losses(constant.cos(), constant.sin(), target, overlap=None).values()
    )
    # A frequency that is off by a constant advance is seen by `frequency` alone.
    drifting = angle + torch.tensor([1.0, 0.0])[:, None, None] * torch.arange(angle.shape[2])[:, None] * 0.5
    losses = phase_losses(drifting.cos(), drifting.sin(), target, overlap=None)
    assert losses["frequency"].item() == pytest.approx(1 - math.cos(0.5), abs=1e-3)
    assert losses["delay"].abs() < 1e-4 and losses["side"].abs() < 1e-4


def test_silence_has_finite_losses_and_gradients() -> None:
    silence = torch.zeros(1, 2, 4, 9, dtype=torch.complex64)
    for phasors, overlap in ((2, None), (3, 4)):
        angle = torch.rand(1, phasors, 4, 9, requires_grad=True)
        sum(phase_losses(angle.cos(), angle.sin(), silence, overlap=overlap).values()).backward()
        assert angle.grad is not None and angle.grad.isfinite().all()


def test_griffin_lim_makes_the_phase_consistent() -> None:
    magnitude = spectrum()[:, 0].abs()
    angle = noise_phase(0, 1, tuple(magnitude.shape[1:])).expand_as(magnitude)
    start = torch.polar(torch.ones_like(magnitude), angle)

    def inconsistency(phasor: torch.Tensor) -> float:
        whole = magnitude * phasor
        return (stft(istft(whole, 1024, 256), 1024, 256) - whole).abs().square().mean().item()

    errors = [inconsistency(griffin_lim(magnitude, start, 1024, 256, count)) for count in (0, 4, 16)]
    assert errors[2] < errors[1] < 0.6 * errors[0]
    assert torch.allclose(griffin_lim(magnitude, start, 1024, 256, 4).abs(), torch.ones(()), atol=1e-4)
