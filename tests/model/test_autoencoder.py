"""Autoencoder: alignment, exact chunking, the linear path, weights on disk, sizes of the presets."""

import dataclasses
import math

import pytest
import torch
from tiny_model import perturbed

from bassbench.errors import BadInputError
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.linear_path import least_squares, principal_components
from reference_model.presets import PRESETS, R_TIME, AutoencoderConfig, Stage
from reference_model.stft import istft, stft

TINY = PRESETS["tiny"].autoencoders["bass"]
TINY_PAPER = dataclasses.replace(
    PRESETS["paper"].autoencoders["bass"],
    dims=4,
    encoder=(Stage(2, 8, 1), Stage(2, 8, 1), Stage(2, 12, 1), Stage(2, 12, 1)),
    decoder=(Stage(2, 8, 1), Stage(2, 8, 1), Stage(2, 12, 1), Stage(2, 12, 1)),
)
TINY_PAPER_PCA = dataclasses.replace(TINY_PAPER, linear_path=True)
LAYOUTS = {"linear path": TINY, "paper's layout": TINY_PAPER, "paper's on a linear path": TINY_PAPER_PCA}


def notes(batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    """Decaying harmonic notes, one every two latent frames, panned a little."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(2 * R_TIME) / 44_100
    pieces = []
    for _ in range(batch * (frames // 2)):
        f0 = 55 * 2 ** (torch.randint(0, 24, (), generator=generator) / 12)
        tone = sum(torch.sin(2 * math.pi * k * f0 * time) / k for k in range(1, 6))
        left = 0.2 * tone * torch.exp(-6 * time)
        pieces.append(torch.stack([left, 0.8 * left]))
    audio = torch.cat(pieces, dim=-1).roll(int(torch.randint(0, R_TIME, (), generator=generator)), dims=-1)
    return audio.unflatten(-1, (batch, -1)).transpose(0, 1).contiguous()


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(TINY)
    model.fit_linear_path(lambda: (notes(2, 64, seed) for seed in range(8)))
    return model.eval()


def test_istft_inverts_stft_sample_for_sample() -> None:
    audio = torch.randn(2, 2, 8192)
    assert torch.allclose(istft(stft(audio, 1024, 256), 1024, 256), audio, atol=1e-5)


def test_stft_gives_a_full_scale_sine_magnitude_one_in_the_frame_centred_on_it() -> None:
    sine = torch.cos(2 * math.pi * 32 * torch.arange(8192) / 1024)
    spectrum = stft(sine, 1024, 256).abs()
    assert spectrum.shape == (32, 513)
    assert spectrum[16, 32] == pytest.approx(1.0, abs=1e-3)
    click = torch.zeros(8192)
    click[10 * 256 + 128] = 1.0
    assert stft(click, 1024, 256).abs().sum(-1).argmax() == 10


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_shapes_and_lengths(config: AutoencoderConfig) -> None:
    model = perturbed(config)
    for samples in (1, R_TIME, R_TIME + 1, 5 * R_TIME - 7):
        latent = codec.encode(model, torch.randn(3, 2, samples))
        assert latent.shape == (3, config.dims, -(-samples // R_TIME))
        audio = codec.decode(model, latent, samples)
        assert audio.shape == (3, 2, samples) and audio.isfinite().all()
    assert codec.decode(model, latent).shape == (3, 2, 5 * R_TIME)


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("frames", "chunk"), [(1, 1), (2, 1), (5, 2), (40, 3), (70, 16), (70, 69), (64, 32)])
def test_chunks_equal_the_whole(config: AutoencoderConfig, frames: int, chunk: int) -> None:
    model = perturbed(config)
    audio = 0.1 * torch.randn(1, 2, frames * R_TIME - 100)
    latent = codec.encode(model, audio)
    whole = codec.decode(model, latent, audio.shape[-1])
    assert torch.allclose(codec.encode(model, audio, chunk=chunk), latent, atol=1e-4)
    assert torch.allclose(codec.decode(model, latent, audio.shape[-1], chunk=chunk), whole, atol=1e-4)
    if config.integrate_phase:
        linear = codec.decode(model, latent, audio.shape[-1], network=False)
        in_chunks = codec.decode(model, latent, audio.shape[-1], network=False, chunk=chunk)
        assert torch.allclose(in_chunks, linear, atol=1e-4)


@pytest.mark.parametrize("block", [1, 1_000, R_TIME, 7 * R_TIME + 5, 10**6])
def test_blocks_of_any_length_give_the_same_latents(block: int) -> None:
    model = perturbed(TINY)
    audio = 0.1 * torch.randn(1, 2, (3 if block == 1 else 30 * R_TIME) + 7)
    streamed = list(codec.encode_stream(model, audio.split(block, dim=-1), chunk=4))
    assert torch.equal(torch.cat(streamed, dim=2), codec.encode(model, audio, chunk=4))
    assert [piece.shape[2] for piece in streamed[:-1]] == [4] * (len(streamed) - 1)


@pytest.mark.parametrize("samples", [1, R_TIME, 6 * R_TIME, 6 * R_TIME + 1, 20 * R_TIME - 3])
def test_a_stream_decodes_to_the_length_asked_for(samples: int) -> None:
    model = perturbed(TINY)
    latent = torch.randn(2, TINY.dims, 20)
    pieces = list(codec.decode_stream(model, latent, samples, chunk=6))
    assert all(0 < piece.shape[-1] <= 7 * R_TIME for piece in pieces)
    assert torch.equal(torch.cat(pieces, dim=-1), codec.decode(model, latent, chunk=6)[..., :samples])


def test_no_audio_is_refused() -> None:
    for blocks in ([], [torch.zeros(1, 2, 0)], [torch.zeros(1, 1, 5)]):
        with pytest.raises(BadInputError):
            list(codec.encode_stream(perturbed(TINY), blocks))


def test_a_click_lights_up_the_latent_frame_that_contains_it(fitted: Autoencoder) -> None:
    audio = torch.zeros(1, 2, 16 * R_TIME)
    quiet = codec.encode(fitted, audio)
    audio[..., 5 * R_TIME + R_TIME // 2] = 1.0
    assert (codec.encode(fitted, audio) - quiet).abs().sum(1).argmax() == 5


def test_fitted_latents_are_standardised_and_uncorrelated(fitted: Autoencoder) -> None:
    latent = torch.cat([codec.encode(fitted, notes(2, 64, seed)) for seed in range(8)])
    latent = latent.transpose(0, 1).flatten(1)
    assert torch.allclose(latent.mean(1), torch.zeros(TINY.dims), atol=0.3)
    assert torch.allclose(torch.cov(latent, correction=0), torch.eye(TINY.dims), atol=0.1)


def test_linear_path_brings_the_notes_back(fitted: Autoencoder) -> None:
    audio = notes(1, 32, seed=9)
    target = fitted.log_magnitude(audio)[..., : TINY.network_bins]
    latent = codec.encode(fitted, audio)
    decoded = fitted.log_magnitude(codec.decode(fitted, latent, network=False))[..., : TINY.network_bins]
    mean_only = fitted.feature_mean[:, None, : TINY.network_bins]
    assert (decoded - target).abs().mean() < 0.6 * (mean_only - target).abs().mean()
    level = 20 * math.log10(codec.decode(fitted, latent, network=False).std() / audio.std())
    assert abs(level) < 3


def test_the_papers_layout_starts_as_the_linear_path_alone() -> None:
    model = Autoencoder(dataclasses.replace(TINY_PAPER_PCA, top_hz=1_000.0))
    model.fit_linear_path(lambda: (notes(1, 32, seed) for seed in range(2)))
    audio = notes(1, 16, seed=9)
    target = model.log_magnitude(audio)
    assert model.linear is not None
    linear = model.linear.encode(model.features(target, model.config.frames_per_latent))
    assert torch.equal(model.latent(target), linear)
    decoded = model.decoded(linear)
    bins = slice(None, model.config.network_bins)
    assert torch.allclose(decoded.log_magnitude, model.linear_log_magnitude(linear, bins))
    mean_only = model.feature_mean[:, None, bins]
    assert (decoded.log_magnitude - target[..., bins]).abs().mean() < 0.8 * (mean_only - target[..., bins]).abs().mean()
    # The phases are the network's own and must not start at zero, where they have no gradient.
    assert (decoded.cosine.square() + decoded.sine.square()).min() > 0.5


def test_without_a_linear_path_there_is_nothing_but_the_network() -> None:
    model = perturbed(TINY_PAPER)
    with pytest.raises(BadInputError, match="no linear path"):
        codec.decode(model, torch.randn(1, TINY_PAPER.dims, 4), network=False)


def test_principal_components_match_a_full_decomposition() -> None:
    torch.manual_seed(0)
    data = torch.randn(400, 12) * torch.arange(1, 13)
    components, deviations = principal_components(data.split(50), 3)
    variances, vectors = torch.linalg.eigh(data.T @ data / len(data))
    assert torch.allclose(deviations, variances.flip(0)[:3].sqrt(), rtol=1e-4)
    assert torch.allclose((components @ vectors.flip(1)[:, :3]).abs(), torch.eye(3), atol=1e-3)


def test_least_squares_finds_a_linear_map() -> None:
    scores, matrix = torch.randn(64, 3), torch.randn(3, 5)
    pairs = [(piece, piece @ matrix) for piece in scores.split(16)]
    assert torch.allclose(least_squares(pairs), matrix, atol=1e-3)


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_a_gradient_reaches_every_parameter(config: AutoencoderConfig) -> None:
    model = perturbed(config).train().requires_grad_(True)
    latent = model.latent(model.log_magnitude(0.1 * torch.randn(2, 2, 8 * R_TIME)))
    spectrum = model.decoded(latent)
    audio = model.complex_spectrum(spectrum).abs() if not config.integrate_phase else spectrum.log_magnitude
    (audio.square().sum() + spectrum.log_magnitude.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_weights_come_back_from_disk(fitted: Autoencoder, tmp_path) -> None:
    path = tmp_path / "bass.safetensors"
    fitted.save_pretrained(path)
    loaded = Autoencoder.from_pretrained(path)
    audio = notes(1, 16)
    assert loaded.config == fitted.config
    assert torch.allclose(codec.encode(loaded, audio), codec.encode(fitted, audio), atol=0.02)
    assert list(tmp_path.iterdir()) == [path]


def test_bad_weights_are_named(fitted: Autoencoder, tmp_path) -> None:
    path = tmp_path / "bass.safetensors"
    with pytest.raises(BadInputError, match=r"bass\.safetensors"):
        Autoencoder.from_pretrained(path)
    fitted.save_pretrained(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInputError, match=r"bass\.safetensors"):
        Autoencoder.from_pretrained(path)
    other = Autoencoder(dataclasses.replace(TINY, dims=9))
    other.config = TINY
    other.save_pretrained(path)
    with pytest.raises(BadInputError, match="do not fit"):
        Autoencoder.from_pretrained(path)


def test_bad_shapes_are_refused(fitted: Autoencoder) -> None:
    for shape in [(2, 100), (1, 1, 100), (1, 2, 0)]:
        with pytest.raises(BadInputError):
            codec.encode(fitted, torch.zeros(shape))
    for shape in [(8, 4), (1, 9, 4), (1, 8, 0)]:
        with pytest.raises(BadInputError):
            codec.decode(fitted, torch.zeros(shape))
    with pytest.raises(BadInputError):
        codec.decode(fitted, torch.zeros(1, 8, 2), 3 * R_TIME)


def test_batch_does_not_matter(fitted: Autoencoder) -> None:
    audio = notes(3, 16)
    latent = codec.encode(fitted, audio)
    assert torch.allclose(codec.encode(fitted, audio[1:2]), latent[1:2], atol=1e-4)
    assert torch.allclose(codec.decode(fitted, latent[1:2]), codec.decode(fitted, latent)[1:2], atol=1e-4)


@pytest.mark.parametrize("which", ["mix", "bass"])
def test_paper_preset_has_the_papers_sizes(which: str) -> None:
    config = PRESETS["paper"].autoencoders[which]
    with torch.device("meta"):
        model = Autoencoder(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == pytest.approx(37e6, rel=0.03)
    assert (config.window, config.hop, config.dims) == (1024, 256, {"mix": 64, "bass": 32}[which])
    assert config.linear_path is False


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("which", ["mix", "bass"])
def test_presets_survive_json(name: str, which: str) -> None:
    import json

    config = PRESETS[name].autoencoders[which]
    assert AutoencoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(BadInputError):
        AutoencoderConfig.from_dict({**config.to_dict(), "colour": 1})
