"""The whole model on arrays, on tiny random weights: the chain, seeds, lengths, sampling, bad input."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import music, tiny_model
from valid_audio import assert_audio_valid

from bassbench.errors import BadInputError
from reference_model import pipeline
from reference_model.pipeline import BassAccompaniment, Sampling, mix_gain


@pytest.fixture(scope="module")
def model(weights: Path) -> BassAccompaniment:
    return tiny_model(weights)


@pytest.mark.parametrize("samples", [44_100, 100_001])
def test_accompany_keeps_length_and_is_audio(model: BassAccompaniment, samples: int) -> None:
    mix = np.stack([music(3, seed=s)[:, :samples] for s in range(3)])
    bass = model.accompany(mix, seeds=[1, 2, 3])
    assert bass.shape == mix.shape and bass.dtype == np.float32
    for clip in bass:
        assert_audio_valid(clip, samples=samples)


def test_a_clip_depends_on_its_seed_and_mix_and_style_alone(model: BassAccompaniment) -> None:
    mix = np.stack([music(1.5, seed=s) for s in range(3)])
    together = model.accompany(mix, seeds=[7, 8, 9])
    split = dataclasses.replace(model, batch_size=2).accompany(mix, seeds=[7, 8, 9])
    np.testing.assert_allclose(together, split, atol=1e-4)
    np.testing.assert_allclose(together[1:2], model.accompany(mix[1:2], seeds=[8]), atol=1e-4)
    again = model.accompany(mix[:1], seeds=[7])
    for other in (
        model.accompany(mix[:1], seeds=[8]),
        model.accompany(mix[1:2], seeds=[7]),
        model.accompany(mix[:1], seeds=[7], style=music(1, seed=5)[None] * 0.1),
    ):
        assert np.abs(again - other).max() > 1e-3


def test_unconditional_samples_do_not_hear_the_mix(model: BassAccompaniment) -> None:
    mix = np.stack([music(1.5, seed=s) for s in range(2)])
    bass = model.accompany(mix, seeds=[4, 4], sampling=Sampling(steps=2, cfg=0.0))
    np.testing.assert_allclose(bass[0] / bass[0].std(), bass[1] / bass[1].std(), atol=1e-2)


def test_grounding_brings_the_mean_to_the_style(model: BassAccompaniment) -> None:
    mix = model.encode_mix(music(2)[None]).latent
    style_mean = torch.full((1, 8), 3.0)
    plain, styled = (
        model.generate_latents(mix, seeds=[0], style_mean=style, sampling=Sampling(steps=16))
        for style in (None, style_mean)
    )
    before, after = ((latent.mean(2) - style_mean).norm() for latent in (plain, styled))
    assert after < 0.7 * before


def test_every_step_is_reported(model: BassAccompaniment) -> None:
    seen: list[int] = []
    model.accompany(music(1)[None], seeds=[0], sampling=Sampling(steps=5), on_step=seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_level_follows_the_mix(model: BassAccompaniment) -> None:
    quiet, quieter = music(1.5)[None] * 0.0004, music(1.5)[None] * 0.0002
    loud = [np.sqrt(np.mean(model.accompany(mix, seeds=[0]) ** 2)) for mix in (quiet, quieter)]
    assert loud[1] == pytest.approx(loud[0] / 2, rel=0.01)


def test_the_level_of_the_style_is_not_copied(model: BassAccompaniment) -> None:
    mix, style = music(2)[None], music(2, seed=5)[None]
    means = [model.style_mean(style * factor) for factor in (1.0, 0.25, 0.06)]
    for softer in means[1:]:
        torch.testing.assert_close(softer, means[0], atol=1e-4, rtol=1e-3)
    noise = np.random.default_rng(0).standard_normal(style.shape).astype(np.float32)
    assert (model.style_mean(noise) - means[0]).abs().max() > 0.01  # the timbre is
    loud, soft = (model.accompany(mix, style=style * factor, seeds=[0]) for factor in (1.0, 0.06))
    np.testing.assert_allclose(soft, loud, atol=1e-2 * float(np.abs(loud).max()))
    assert torch.isfinite(model.style_mean(np.zeros_like(style))).all()


def test_mix_gain() -> None:
    gain = mix_gain(np.array([0.0, 1e-3, 0.1, 0.9]))
    assert gain[0] == 1 and gain[2] == 1
    assert 20 * np.log10(gain[1] * 1e-3) == pytest.approx(-26) and 20 * np.log10(gain[3] * 0.9) == pytest.approx(-17)


@pytest.mark.parametrize("frames", [64, 255, 256, 1000, 1025, 4096])
def test_latents_of_any_length(model: BassAccompaniment, frames: int) -> None:
    mix = torch.randn(1, 16, frames, generator=torch.Generator().manual_seed(frames))
    latent = model.generate_latents(mix, seeds=[0])
    assert latent.shape == (1, 8, frames) and torch.isfinite(latent).all()
    again = dataclasses.replace(model, batch_size=1).generate_latents(mix, seeds=[0])
    torch.testing.assert_close(again, latent, atol=1e-4, rtol=0)
    # Everywhere the mix is heard, windows or not.
    changed = mix.clone()
    changed[..., -8:] += 1
    difference = (model.generate_latents(changed, seeds=[0]) - latent).abs().amax(dim=(0, 1))
    assert difference[-8:].min() > 1e-4
    assert 0.3 < latent[..., : frames // 2].std() / latent[..., frames // 2 :].std() < 3


def test_shapes_that_do_not_fit_are_refused(model: BassAccompaniment) -> None:
    mix = music(1)[None]
    for arguments in (
        {"mix": mix[0], "seeds": [0]},
        {"mix": mix, "seeds": [0, 1]},
        {"mix": mix[..., :0], "seeds": [0]},
        {"mix": mix, "seeds": [0], "style": np.concatenate([mix, mix])},
    ):
        with pytest.raises(BadInputError):
            model.accompany(**arguments)


def test_only_arrays_of_finite_floats_are_taken(model: BassAccompaniment) -> None:
    mix = music(1)[None]
    wrong = [
        ((32767 * mix).astype(np.int16), "floats of full scale 1, got int16"),
        (np.where(mix == mix.max(), np.nan, mix), "NaN or Inf"),
        (np.where(mix == mix.max(), 1e300, mix.astype(np.float64)), "NaN or Inf"),
        (torch.from_numpy(mix), "NumPy array of floats, got Tensor"),
    ]
    for audio, said in wrong:
        with pytest.raises(BadInputError, match=f"mix .*{said}"):
            model.accompany(audio, seeds=[0])
        with pytest.raises(BadInputError, match=f"style .*{said}"):
            model.accompany(mix, seeds=[0], style=audio)
        with pytest.raises(BadInputError, match=f"bass .*{said}"):
            model.codec(audio[0])
    with pytest.raises(BadInputError, match="style must be"):
        model.accompany(mix, seeds=[0], style=mix[:, :, :0])
    double = model.accompany(mix.astype(np.float64), seeds=[0])
    np.testing.assert_array_equal(double, model.accompany(mix, seeds=[0]))


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"phi": 1.5},
        {"eta": -1.0},
        {"cfg": float("nan")},
        {"sampler": "nothing"},
        {"sampler": "heun", "eta": 0.5},
        {"grounding_exponent": -1.0},
        {"temperature": 0.0},
    ],
)
def test_impossible_sampling_is_refused(options: dict) -> None:
    with pytest.raises(BadInputError):
        Sampling(**options)


def test_temperature_scales_the_noise_that_sampling_starts_from(
    model: BassAccompaniment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pipeline.SAMPLERS, "ddim", lambda denoise, noise, levels, schedule, on_step: noise)
    mix = torch.zeros(2, model.unet.config.mix_dims, 16)
    noises = [model.generate_latents(mix, seeds=[0, 1], sampling=Sampling(temperature=t)) for t in (1.0, 0.5)]
    assert torch.equal(noises[1], 0.5 * noises[0]) and 0.8 < noises[0].std() < 1.2
