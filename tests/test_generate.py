"""The whole model and its command line, on tiny random weights: the chain, seeds, lengths, bad input."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import reference_model
from bassbench.audio import SAMPLE_RATE, assert_audio_valid, read_audio
from bassbench.bad_input import BadInputError
from reference_model import generate as generate_module
from reference_model.autoencoder import Autoencoder
from reference_model.config import AUTOENCODERS
from reference_model.generate import Options, generate
from reference_model.pipeline import BassAccompaniment, Sampling, level_gain, load
from reference_model.unet import UNETS, UNet

FAST = Sampling(steps=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny weights whose latents and sounds depend on their input."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for which in ("mix", "bass"):
        coder = Autoencoder(AUTOENCODERS["tiny"][which])
        assert coder.linear is not None
        torch.nn.init.orthogonal_(coder.linear.components)
        coder.linear.readout.normal_(std=0.1)
        coder.feature_mean.fill_(-7.0)
        coder.latent_std.fill_(10.0)
        coder.save_pretrained(folder / f"{which}_autoencoder.safetensors")
    unet = UNet(UNETS["tiny"])
    torch.nn.init.normal_(unet.output.weight, std=0.3)
    unet.save_pretrained(folder / "unet.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(weights: Path) -> BassAccompaniment:
    return dataclasses.replace(load(weights), sampling=FAST, bfloat16=False)


def music(seconds: float, rate: int = SAMPLE_RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * f * time + p) for f, p in zip((110, 220, 331), generator.uniform(0, 6, 3), strict=True)]
    noise = 0.02 * generator.standard_normal((channels, len(time)))
    return (0.1 * np.sum(tones, axis=0) + noise).astype(np.float32)


@pytest.fixture()
def mix_file(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "mix.wav", music(2).T, SAMPLE_RATE)
    return tmp_path / "mix.wav"


# The model


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
    mix = model.encode_mix(music(2)[None])
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


def test_level_gain() -> None:
    mix = np.stack([np.full((2, 100), level, np.float32) for level in (0.0, 1e-3, 0.1, 0.9)])
    gain = level_gain(mix)[:, 0, 0]
    assert gain[0] == 1 and gain[2] == 1
    assert 20 * np.log10(gain[1] * 1e-3) == pytest.approx(-26) and 20 * np.log10(gain[3] * 0.9) == pytest.approx(-17)


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


@pytest.mark.parametrize("options", [{"steps": 0}, {"phi": 1.5}, {"eta": -1.0}, {"cfg": float("nan")}])
def test_impossible_sampling_is_refused(options: dict) -> None:
    with pytest.raises(BadInputError):
        Sampling(**options)


# Weights


def test_names_are_exported() -> None:
    assert reference_model.load is load and reference_model.Sampling is Sampling
    with pytest.raises(AttributeError):
        reference_model.nothing  # noqa: B018


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no weights named 'grand'"):
        load("grand")
    with pytest.raises(BadInputError, match=r"mix_autoencoder.safetensors: no such"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["mix_autoencoder", "bass_autoencoder", "unet"])
def test_damaged_weights_are_refused(weights: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(weights, tmp_path / "copy")
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BadInputError, match=name):
        load(folder)


def test_weights_in_the_wrong_place_are_refused(weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(weights, tmp_path / "copy")
    shutil.copy(folder / "bass_autoencoder.safetensors", folder / "mix_autoencoder.safetensors")
    with pytest.raises(BadInputError, match="needs autoencoders"):
        load(folder)
    shutil.copy(folder / "bass_autoencoder.safetensors", folder / "unet.safetensors")
    with pytest.raises(BadInputError, match="expected 'unet'"):
        load(folder)


# The command line


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (22_050, 2), (48_000, 2), (192_000, 1)])
def test_any_rate_gives_the_same_duration_at_44_1(weights: Path, tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "mix.wav", music(1.7, rate, channels).T, rate)
    output = generate(Options(tmp_path / "mix.wav", steps=1, weights=str(weights), quiet=True))
    assert output == tmp_path / "mix.bass.wav"
    info = soundfile.info(output)
    assert (info.samplerate, info.channels) == (SAMPLE_RATE, 2)
    assert info.frames == read_audio(tmp_path / "mix.wav").shape[1] == pytest.approx(1.7 * SAMPLE_RATE, abs=2)
    assert_audio_valid(read_audio(output))


def test_command_line_is_deterministic_and_takes_a_style(weights: Path, mix_file: Path) -> None:
    soundfile.write(mix_file.with_name("style.flac"), music(1, seed=4).T, SAMPLE_RATE)
    options = Options(mix_file, steps=2, weights=str(weights), quiet=True, output=mix_file.with_name("a.wav"))
    first = generate(options).read_bytes()
    assert generate(options).read_bytes() == first
    styled = dataclasses.replace(options, style=mix_file.with_name("style.flac"), output=mix_file.with_name("b.flac"))
    assert np.abs(read_audio(generate(styled)) - read_audio(options.output)).max() > 1e-3


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["generate", *map(str, arguments)])
        generate_module.main()
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_bad_audio_gets_one_line_and_leaves_nothing(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = {
        "missing.wav": None,
        "empty.wav": b"",
        "text.wav": b"not audio at all",
        "short.wav": music(0.5).T,
        "one.wav": music(1).T[:1],
        "silent.wav": np.zeros((SAMPLE_RATE, 2)),
        "nan.wav": np.full((SAMPLE_RATE, 2), np.nan),
        "surround.wav": music(1, channels=6).T,
    }
    good = tmp_path / "good.wav"
    soundfile.write(good, music(1.2).T, SAMPLE_RATE)
    for name, content in files.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            soundfile.write(path, content, SAMPLE_RATE, subtype="FLOAT")
        for arguments in ((path,), (good, "--style", path)):
            message = refused(capsys, *arguments, "--weights", weights, "--steps", 1, "--quiet")
            assert message.startswith("error: ") and name in message and message.count("\n") == 1
    assert not list(tmp_path.glob("*.bass.wav"))


def test_bad_options_get_one_line(
    weights: Path, mix_file: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, expected in (
        (["--weights", "grand"], "no weights named"),
        (["--steps", 0], "steps"),
        (["--phi", 2], "phi"),
        (["--grounding", -1], "grounding"),
        (["--device", "warp"], "device 'warp'"),
        (["-o", mix_file], "overwrite"),
        (["-o", mix_file.with_suffix(".txt")], "can write .wav or .flac"),
        (["-o", mix_file / "below.wav"], "cannot write"),
    ):
        message = refused(capsys, mix_file, "--weights", weights, "--steps", 1, "--quiet", *arguments)
        assert message.startswith("error: ") and expected in message and message.count("\n") == 1
    assert [path.name for path in mix_file.parent.iterdir()] == ["mix.wav"]


def test_command_runs_as_a_module(weights: Path, mix_file: Path) -> None:
    command = [sys.executable, "-m", "reference_model.generate", mix_file, "--weights", weights, "--steps", "2"]
    done = subprocess.run(map(str, command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mix.bass.wav" in done.stderr and "2/2" in done.stderr
    assert_audio_valid(read_audio(mix_file.with_name("mix.bass.wav")), samples=2 * SAMPLE_RATE)
