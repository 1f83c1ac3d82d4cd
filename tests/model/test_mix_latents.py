"""Latents of a mix that carry harmony and place: chroma that follows the tuning, and left told from right."""

import dataclasses
import math

import pytest
import torch

from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.harmony import REACH, harmony
from reference_model.presets import PRESETS, R_TIME, AutoencoderConfig
from reference_model.sides import level_differences

PLACED = dataclasses.replace(
    PRESETS["tiny"].autoencoders["mix"], dims=34, chroma_dims=24, side_dims=4, component_deviation=0.3
)


def chord(pitches: tuple[int, ...], frames: int, *, cents: float = 0.0, left: float = 1.0) -> torch.Tensor:
    """Tones with six partials each, held, `(1, 2, samples)`."""
    time = torch.arange(frames * R_TIME, dtype=torch.float64) / 44_100
    hertz = [440 * 2 ** ((pitch + cents / 100 - 69) / 12) for pitch in pitches]
    tone = sum(torch.sin(2 * math.pi * k * f * time) / k for f in hertz for k in range(1, 7)) / (10 * len(pitches))
    return torch.stack([left * tone, (2 - left) * tone])[None].float()


def loud(frames: int, seed: int) -> torch.Tensor:
    """Noise whose level and place change every frame."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.rand(2, 2, frames, generator=generator).repeat_interleave(R_TIME, dim=-1)
    return 0.1 * levels * torch.randn(2, 2, frames * R_TIME, generator=generator)


@pytest.fixture(scope="module")
def placed() -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(PLACED)
    model.fit_linear_path(lambda: (loud(32, seed) for seed in range(4)))
    return model.eval()


@pytest.mark.parametrize("cents", [-45.0, 0.0, 30.0])
def test_chroma_names_the_pitch_classes_at_any_tuning(cents: float) -> None:
    heard = harmony(chord((48, 52, 55), 24, cents=cents)).chroma[0, 12]
    assert set(heard[:12].topk(3).indices.tolist()) == {0, 4, 7}
    assert {0, 4} <= set(heard[12:].topk(3).indices.tolist())


def test_chroma_does_not_hear_loudness() -> None:
    audio = chord((45, 60, 64), 16)
    loud_, soft = (harmony(gain * audio).chroma[0, 8] for gain in (1.0, 0.25))
    assert (loud_ - soft).abs().max() < 0.3 < loud_.std()


def test_a_key_higher_turns_the_chroma_by_a_semitone() -> None:
    low, high = (harmony(chord(pitches, 16)).chroma[0, 8] for pitches in ((48, 60, 64, 67), (49, 61, 65, 68)))
    assert torch.corrcoef(torch.stack([low[:12].roll(1), high[:12]]))[0, 1] > 0.9
    assert torch.corrcoef(torch.stack([low[12:].roll(1), high[12:]]))[0, 1] > 0.9


def test_level_differences_change_their_sign_with_the_channels_and_silence_is_in_the_middle() -> None:
    audio = chord((40, 60, 80), 8, left=1.7)
    heard = level_differences(audio, 4)
    assert heard.shape == (1, 8, 4) and (heard[0, 4] > 0).any()
    assert torch.allclose(level_differences(audio.flip(1), 4), -heard)
    assert not level_differences(torch.zeros(1, 2, 4 * R_TIME), 4).any()


def test_swapped_channels_have_other_latents(placed: Autoencoder) -> None:
    audio = loud(40, 9)
    latents, swapped = codec.encode(placed, audio), codec.encode(placed, audio.flip(1))
    assert latents.shape == (2, 34, 40)
    assert latents[:, :6].std(dim=(0, 2)).mean() == pytest.approx(0.3, abs=0.1)
    assert latents[:, -4:].std(dim=(0, 2)).mean() == pytest.approx(1.0, abs=0.3)
    told = (latents - swapped).abs().mean(dim=(0, 2))
    assert told[:6].max() < 1e-3 and told[-4:].min() > 0.3


def test_latents_do_not_depend_on_the_chunk(placed: Autoencoder) -> None:
    audio = loud(REACH * 3, 3)
    assert torch.allclose(codec.encode(placed, audio, chunk=17), codec.encode(placed, audio), atol=2e-3)


def test_training_and_encoding_give_the_same_latents(placed: Autoencoder) -> None:
    audio = loud(16, 4)
    latent = placed.latent(placed.log_magnitude(audio), placed.heard(audio)).transpose(1, 2)
    assert torch.allclose(
        (latent - placed.latent_mean[:, None]) / placed.latent_std[:, None], codec.encode(placed, audio), atol=1e-3
    )


def test_the_choice_travels_with_the_weights_and_older_weights_do_without(placed: Autoencoder, tmp_path) -> None:
    placed.save_pretrained(tmp_path / "mix.safetensors", dtype=torch.float32)
    loaded = Autoencoder.from_pretrained(tmp_path / "mix.safetensors")
    assert loaded.config == PLACED
    audio = loud(8, 5)
    assert torch.allclose(codec.encode(loaded, audio), codec.encode(placed, audio), atol=1e-5)
    before = PRESETS["tiny"].autoencoders["mix"].to_dict()
    assert "chroma_dims" not in before and AutoencoderConfig.from_dict(before) == PRESETS["tiny"].autoencoders["mix"]
    with pytest.raises(ValueError, match="some must be left"):
        dataclasses.replace(PRESETS["tiny"].autoencoders["mix"], dims=24, chroma_dims=24)
