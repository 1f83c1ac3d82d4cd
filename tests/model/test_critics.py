"""Critics: the hinge losses' known answers, and that an adversarial step teaches both sides."""

import pytest
import torch

from reference_model.critics import Critics, critic_loss, generator_loss, log_power


def test_hinge_losses_have_the_papers_values() -> None:
    real, generated = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    # -E min(0, -1 + C(s)) = (0 + 0.5) / 2; -E min(0, -1 - C(s~)) = (0 + 2) / 2; -E C(s~) = 1.
    assert critic_loss(real, generated).item() == pytest.approx(1.25)
    assert generator_loss(generated).item() == pytest.approx(1.0)


def test_log_power_is_the_log_of_the_squared_stft() -> None:
    assert torch.allclose(log_power(torch.zeros(1, 2, 4096), 1024, 256, 1e-6), torch.tensor(1e-6).log())


@pytest.fixture
def critics() -> Critics:
    torch.manual_seed(0)
    return Critics(1024, 256, width=16, blocks=1, mels=16)


def test_scores_have_a_column_for_each_critic(critics: Critics) -> None:
    assert critics(0.1 * torch.randn(3, 2, 8192)).shape == (3, 2, 32)


def test_a_gradient_reaches_every_parameter_and_the_generated_audio(critics: Critics) -> None:
    generated = (0.1 * torch.randn(2, 2, 8192)).requires_grad_(True)
    critic_loss(critics(0.1 * torch.randn(2, 2, 8192)), critics(generated)).backward()
    for name, parameter in critics.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    for critic in (critics.linear, critics.mel):
        assert all(parameter.grad.abs().sum() > 0 for parameter in list(critic.parameters())[:-1])  # type: ignore[union-attr]
    generated.grad = None
    generator_loss(critics(generated)).backward()
    assert generated.grad is not None and generated.grad.abs().sum() > 0


def test_critics_learn_to_tell_tones_from_noise(critics: Critics) -> None:
    optimizer = torch.optim.Adam(critics.parameters(), 3e-3)
    time = torch.arange(4096) / 44_100
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        tones = 0.1 * torch.sin(6.28 * 440 * time + 6.28 * torch.rand(4, 2, 1, generator=generator))
        loss = critic_loss(critics(tones), critics(0.1 * torch.randn(4, 2, 4096, generator=generator)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.5
