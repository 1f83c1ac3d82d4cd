"""MusiCNN in torch against the authors' TensorFlow graph (fixtures/make_musicnn_fixture.py) and convolutions."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bassbench.embedders import musicnn
from bassbench.embedders.musicnn import (
    HighestResponse,
    LogMel,
    MusiCNN,
    TemporalFilters,
    TimbralFilters,
    load_musicnn,
    musicnn_embeddings,
    patch_count,
)
from bassbench.errors import BadInputError

FIXTURE = dict(np.load(Path(__file__).parent.parent / "fixtures" / "musicnn.npz"))


@pytest.fixture(scope="module")
def model() -> MusiCNN:
    return load_musicnn()


def _audio(name: str) -> np.ndarray:
    return FIXTURE[name].astype(np.float32) / 32768


@pytest.mark.parametrize("name", ["chirp", "music"])
def test_equals_the_original(model: MusiCNN, name: str) -> None:
    embeddings = musicnn_embeddings(model, _audio(name))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, FIXTURE[f"{name}_penultimate"], rtol=0, atol=1e-4)


def test_log_mel_equals_librosa() -> None:
    audio = _audio("music")
    mel = librosa.feature.melspectrogram(y=audio, sr=16_000, n_fft=512, hop_length=256, n_mels=96)
    ours = LogMel()(torch.nn.functional.pad(torch.from_numpy(audio), (256, 256))[None])[0]
    np.testing.assert_allclose(ours.numpy(), np.log10(10_000 * mel.T + 1), rtol=0, atol=1e-4)


def test_a_loud_frame_does_not_overflow(model: MusiCNN) -> None:
    # A full-scale low tone has a mel power above 65504 / 10000, where float16 ends.
    audio = np.sin(2 * np.pi * 110 * np.arange(48_000) / 16_000).astype(np.float32)
    embeddings = musicnn_embeddings(model, audio)
    assert np.isfinite(embeddings).all()


def test_batching_changes_nothing(model: MusiCNN) -> None:
    audio = _audio("music")
    whole = musicnn_embeddings(model, audio, hop_frames=100, batch=16)
    assert len(whole) == patch_count(len(audio), 100) == 3
    for batch in (1, 2):
        other = musicnn_embeddings(model, audio, hop_frames=100, batch=batch)
        np.testing.assert_allclose(other, whole, atol=1e-5)


def test_same_input_same_bits(model: MusiCNN) -> None:
    first, second = (musicnn_embeddings(model, _audio("music")) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_patch_knows_nothing_of_the_others(model: MusiCNN) -> None:
    audio, step = _audio("music"), musicnn.PATCH_FRAMES * musicnn.HOP
    changed = audio.copy()
    changed[: step - musicnn.FFT] = 0
    before, after = (musicnn_embeddings(model, sound) for sound in (audio, changed))
    assert np.abs(before[0] - after[0]).max() > 0.1
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)


@pytest.mark.parametrize(("samples", "patches"), [(0, 0), (47_615, 0), (47_616, 1), (95_487, 1), (95_488, 2)])
def test_patch_count(samples: int, patches: int) -> None:
    assert patch_count(samples) == patches


@pytest.mark.parametrize("shape", [(1000,), (2, 48_000)])
def test_wrong_audio_is_refused(model: MusiCNN, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match=r"mono audio of 2\.992 s"):
        musicnn_embeddings(model, np.zeros(shape, dtype=np.float32))


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicnn, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(BadInputError, match="reinstall"):
        load_musicnn()


def _random(filters: HighestResponse) -> HighestResponse:
    """With random weights and normalisation, of which about half the scales are negative."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in filters.state_dict().items()}
    state["norm.running_var"] = state["norm.running_var"].abs() + 0.1
    filters.load_state_dict(state)
    return filters.requires_grad_(False).eval()


def _convolved(filters: HighestResponse, patch: Tensor, before: int, after: int) -> Tensor:
    """The authors' order: a 2-d convolution, rectified, normalised, and only then the highest over bands."""
    weight = filters.convolution.weight.double()
    weight = weight[:, None] if isinstance(filters, TimbralFilters) else weight[:, :, None]
    padded = functional.pad(patch.double()[:, None], (before, after))
    response = functional.conv2d(padded, weight, filters.convolution.bias.double()).relu()
    batch, channels, bands, frames = response.shape
    return filters.norm.double()(response.view(batch, channels, -1)).view(batch, channels, bands, frames).amax(2)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 16, 40])
@pytest.mark.parametrize(("height", "bands"), [(9, 24), (10, 24), (24, 24), (1, 24)])
def test_timbral_filters_are_convolutions(batch: int, frames: int, height: int, bands: int) -> None:
    filters = _random(TimbralFilters(5, height, bands=bands))
    patch = torch.randn(batch, bands, frames, generator=torch.Generator().manual_seed(1))
    found = filters(patch)
    torch.testing.assert_close(found.double(), _convolved(filters, patch, 3, 3), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 16, 41])
@pytest.mark.parametrize(("length", "bands"), [(32, 24), (9, 17), (1, 1)])
def test_temporal_filters_are_convolutions(batch: int, frames: int, length: int, bands: int) -> None:
    filters = _random(TemporalFilters(5, length))
    patch = torch.randn(batch, bands, frames, generator=torch.Generator().manual_seed(1))
    found = filters(patch)
    expected = _convolved(filters, patch, (length - 1) // 2, length // 2)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)
