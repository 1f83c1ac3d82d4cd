"""Phase from its steps: exact where the steps are, good from magnitudes alone, and the same in pieces."""

import math

import numpy as np
import torch

from reference_model.phase import integrate, neutral_advance, steps_from_magnitude
from reference_model.stft import istft, stft

WINDOW, HOP = 1024, 256


def tone(f0: float = 110.0, samples: int = 64 * HOP) -> torch.Tensor:
    """A plucked harmonic tone at 44.1 kHz that begins after a tenth of its length."""
    time = (torch.arange(samples) - samples // 10) / 44_100
    partials = sum(torch.sin(2 * math.pi * f0 * k * time + k) / k for k in range(1, 9))
    return 0.2 * partials * torch.exp(-4 * time) * (time > 0)


def true_steps(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    advance, delay = np.zeros(spectrum.shape), np.zeros(spectrum.shape)
    advance[1:] = np.angle(spectrum[1:] * spectrum[:-1].conj())
    delay[:, 1:] = np.angle(spectrum[:, 1:] * spectrum[:, :-1].conj())
    return advance, delay


def integrated(size: np.ndarray, advance: np.ndarray, delay: np.ndarray, initial: np.ndarray) -> np.ndarray:
    silent = np.zeros(size.shape[1])
    return integrate(size, advance, delay, initial, silent, silent)


def similarity(audio: torch.Tensor, other: torch.Tensor) -> float:
    """Of the spectrograms, which no origin of the phase changes."""
    sizes = [stft(each, WINDOW, HOP).abs().flatten() for each in (audio, other)]
    return torch.nn.functional.cosine_similarity(*sizes, dim=0).item()


def test_true_steps_give_the_true_phase_up_to_a_constant() -> None:
    spectrum = stft(tone(), WINDOW, HOP).numpy().astype(np.complex128)
    size = np.abs(spectrum)
    generator = np.random.default_rng(0)
    phase = integrated(size, *true_steps(spectrum), generator.uniform(0, 2 * np.pi, size.shape))
    heard = size > 1e-3 * size.max()
    error = np.angle(np.exp(1j * (phase - np.angle(spectrum))))[heard]
    error -= np.angle(np.exp(1j * error).mean())
    assert np.abs(error).max() < 1e-3


def test_magnitudes_alone_bring_a_tone_back_and_random_phase_does_not() -> None:
    audio = tone()
    spectrum = stft(audio, WINDOW, HOP)
    size = spectrum.abs()
    advance, delay = steps_from_magnitude((size + 1e-5).log(), WINDOW, HOP)
    advance = advance + neutral_advance(size.shape[1], WINDOW // HOP)
    random = 2 * math.pi * torch.rand(size.shape, generator=torch.Generator().manual_seed(0))
    phase = integrated(*(x.double().numpy() for x in (size, advance, delay + math.pi, random)))
    back = istft(torch.polar(size, torch.from_numpy(phase).float()), WINDOW, HOP)
    worse = istft(torch.polar(size, random), WINDOW, HOP)
    assert similarity(back, audio) > 0.98 > 0.9 > similarity(worse, audio)
    assert abs(20 * math.log10(back.std() / audio.std())) < 0.5


def test_pieces_that_carry_on_equal_the_whole() -> None:
    generator = np.random.default_rng(1)
    size = generator.exponential(size=(20, 33))
    advance, delay, initial = generator.uniform(-3, 3, (3, 20, 33))
    whole = integrated(size, advance, delay, initial)
    first = integrated(size[:8], advance[:8], delay[:8], initial[:8])
    second = integrate(size[8:], advance[8:], delay[8:], initial[8:], size[7], first[7])
    assert np.array_equal(np.concatenate([first, second]), whole)


def test_what_nothing_determines_keeps_its_phase() -> None:
    generator = np.random.default_rng(2)
    initial = generator.uniform(0, 1, (3, 5))
    assert np.array_equal(integrated(np.zeros((3, 5)), initial, initial, initial), initial)
    size = np.full((3, 5), 1e-9)
    size[:, 2] = 1.0
    phase = integrated(size, np.full((3, 5), 0.5), np.zeros((3, 5)), initial)
    np.testing.assert_allclose(np.diff(phase[:, 2]), 0.5)
    assert np.array_equal(phase[:, [0, 1, 3, 4]], initial[:, [0, 1, 3, 4]])
