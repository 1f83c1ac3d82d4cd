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
from huggingface_hub.errors import LocalEntryNotFoundError

import reference_model
from bassbench.audio import SAMPLE_RATE, assert_audio_valid, read_audio
from bassbench.bad_input import BadInputError
from reference_model import generate as generate_module
from reference_model import pipeline
from reference_model.autoencoder import Autoencoder
from reference_model.config import AUTOENCODERS
from reference_model.generate import Options, accompany_file, generate
from reference_model.latents import encoder_hash
from reference_model.pipeline import BassAccompaniment, Sampling, UnrecordedEncodersWarning, level_gain, load
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
    encoders = {}
    for which in ("mix", "bass"):
        coder = Autoencoder(AUTOENCODERS["tiny"][which])
        assert coder.linear is not None
        torch.nn.init.orthogonal_(coder.linear.components)
        coder.linear.readout.normal_(std=0.1)
        coder.feature_mean.fill_(-7.0)
        coder.latent_std.fill_(10.0)
        coder.save_pretrained(folder / f"{which}_autoencoder.safetensors")
        encoders[which] = encoder_hash(coder)
    unet = UNet(UNETS["tiny"])
    torch.nn.init.normal_(unet.output.weight, std=0.3)
    unet.save_pretrained(folder / "unet.safetensors", encoders=encoders)
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
    gain = level_gain(np.array([0.0, 1e-3, 0.1, 0.9]))
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


def test_a_long_file_takes_no_more_memory(weights: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's peak memory counter")
    model = load(weights)
    peaks = []
    for minutes in (2, 2, 8):  # the first two fill the allocator
        piece = music(10).T
        with soundfile.SoundFile(tmp_path / "long.wav", "w", SAMPLE_RATE, 2) as file:
            for _ in range(6 * minutes):
                file.write(piece)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        accompany_file(model, tmp_path / "long.wav", tmp_path / "bass.wav", sampling=Sampling(steps=1))
        peaks.append(peak_memory())
        assert soundfile.info(tmp_path / "bass.wav").frames == minutes * 60 * SAMPLE_RATE
    # Six more minutes of float32 stereo are 127 MB, and an array's way through the model holds several copies.
    assert peaks[2] < max(peaks[:2]) + 110, peaks


def peak_memory() -> float:
    """The most memory this process has held, in MB, since the counter was last set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


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
    monkeypatch.setitem(pipeline.SAMPLERS, "ddim", lambda denoise, noise, steps, on_step: noise)
    mix = torch.zeros(2, model.unet.config.mix_dims, 16)
    noises = [model.generate_latents(mix, seeds=[0, 1], sampling=Sampling(temperature=t)) for t in (1.0, 0.5)]
    assert torch.equal(noises[1], 0.5 * noises[0]) and 0.8 < noises[0].std() < 1.2


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


def test_autoencoders_of_another_training_are_refused(weights: Path, tmp_path: Path) -> None:
    for which in ("mix", "bass"):
        folder = shutil.copytree(weights, tmp_path / which)
        path = folder / f"{which}_autoencoder.safetensors"
        coder = Autoencoder.from_pretrained(path)
        coder.decoder.layers[0].weight += 1  # the decoder may be trained further
        coder.save_pretrained(path)
        assert isinstance(load(folder), BassAccompaniment)
        coder.latent_std *= 1.5
        coder.save_pretrained(path)
        with pytest.raises(BadInputError, match=f"another {which} autoencoder"):
            load(folder)


def test_a_unet_that_does_not_say_its_autoencoders_is_accepted_with_a_warning(weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(weights, tmp_path / "copy")
    UNet(UNETS["tiny"]).save_pretrained(folder / "unet.safetensors")
    with pytest.warns(UnrecordedEncodersWarning, match="unet.safetensors"):
        load(folder)


@pytest.mark.parametrize("arguments", [("lab/bass@v1.0",), ("lab/bass", "cpu", "v1.0")])
def test_weights_from_the_hub(weights: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(weights)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    name, *rest = arguments
    model = load(name, *rest[:1], revision=rest[1] if rest else None)
    assert isinstance(model, BassAccompaniment)
    assert asked == [("lab/bass", "v1.0", ["*.safetensors"])]


def test_the_hub_needs_a_revision_and_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("cannot find the files on the Hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(BadInputError, match="needs its revision: lab/bass@"):
        load("lab/bass")
    with pytest.raises(BadInputError, match=r"lab/bass@v1: cannot be fetched .* network"):
        load("lab/bass@v1")


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


@pytest.mark.parametrize("level", [1.0, 0.001])
def test_file_to_file_equals_arrays(
    model: BassAccompaniment, tmp_path: Path, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "mix.wav", level * music(7.3, 48_000).T, 48_000, subtype="FLOAT")
    soundfile.write(tmp_path / "style.wav", music(3, seed=5).T, SAMPLE_RATE, subtype="FLOAT")
    mix, style = (read_audio(tmp_path / name)[None] for name in ("mix.wav", "style.wav"))
    monkeypatch.setattr(generate_module, "_BLOCK", 10_000)
    accompany_file(model, tmp_path / "mix.wav", tmp_path / "out.wav", style=tmp_path / "style.wav", seed=3)
    expected = model.accompany(mix, style=style, seeds=[3])[0]
    np.testing.assert_allclose(read_audio(tmp_path / "out.wav"), expected, atol=1e-4 * np.abs(expected).max() + 2**-23)


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
        (["--temperature", 0], "temperature"),
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
