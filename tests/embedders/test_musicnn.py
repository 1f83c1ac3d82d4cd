"""MusiCNN in torch against the outputs of the authors' TensorFlow graph (see fixtures/make_musicnn_fixture.py)."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from bassbench.embedders import musicnn
from bassbench.embedders.musicnn import TAGS, LogMel, MusiCNN, load_musicnn, patch_count, tags_and_embeddings
from bassbench.errors import BadInputError

FIXTURE = dict(np.load(Path(__file__).parent.parent / "fixtures" / "musicnn.npz"))


@pytest.fixture(scope="module")
def model() -> MusiCNN:
    return load_musicnn()


def _audio(name: str) -> np.ndarray:
    return FIXTURE[name].astype(np.float32) / 32768


@pytest.mark.parametrize("name", ["chirp", "music"])
def test_equals_the_original(model: MusiCNN, name: str) -> None:
    tags, embeddings = tags_and_embeddings(model, _audio(name))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(tags, FIXTURE[f"{name}_tags"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(embeddings, FIXTURE[f"{name}_penultimate"], rtol=0, atol=1e-4)


def test_tags_are_in_the_originals_order() -> None:
    assert tuple(FIXTURE["labels"]) == TAGS


def test_log_mel_equals_librosa() -> None:
    audio = _audio("music")
    mel = librosa.feature.melspectrogram(y=audio, sr=16_000, n_fft=512, hop_length=256, n_mels=96)
    ours = LogMel()(torch.nn.functional.pad(torch.from_numpy(audio), (256, 256))[None])[0]
    np.testing.assert_allclose(ours.numpy(), np.log10(10_000 * mel.T + 1), rtol=0, atol=1e-4)


def test_a_loud_frame_does_not_overflow(model: MusiCNN) -> None:
    # A full-scale low tone has a mel power above 65504 / 10000, where float16 ends.
    audio = np.sin(2 * np.pi * 110 * np.arange(48_000) / 16_000).astype(np.float32)
    tags, embeddings = tags_and_embeddings(model, audio)
    assert np.isfinite(tags).all() and np.isfinite(embeddings).all()


def test_batching_changes_nothing(model: MusiCNN) -> None:
    audio = _audio("music")
    whole = tags_and_embeddings(model, audio, hop_frames=100, batch=16)[1]
    assert len(whole) == patch_count(len(audio), 100) == 3
    for batch in (1, 2):
        other = tags_and_embeddings(model, audio, hop_frames=100, batch=batch)[1]
        np.testing.assert_allclose(other, whole, atol=1e-5)


def test_same_input_same_bits(model: MusiCNN) -> None:
    first, second = (tags_and_embeddings(model, _audio("music"))[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_patch_knows_nothing_of_the_others(model: MusiCNN) -> None:
    audio, step = _audio("music"), musicnn.PATCH_FRAMES * musicnn.HOP
    changed = audio.copy()
    changed[: step - musicnn.FFT] = 0
    before, after = (tags_and_embeddings(model, sound)[1] for sound in (audio, changed))
    assert np.abs(before[0] - after[0]).max() > 0.1
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)


@pytest.mark.parametrize(("samples", "patches"), [(0, 0), (47_615, 0), (47_616, 1), (95_487, 1), (95_488, 2)])
def test_patch_count(samples: int, patches: int) -> None:
    assert patch_count(samples) == patches


@pytest.mark.parametrize("shape", [(1000,), (2, 48_000)])
def test_wrong_audio_is_refused(model: MusiCNN, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match=r"mono audio of 2\.992 s"):
        tags_and_embeddings(model, np.zeros(shape, dtype=np.float32))


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicnn, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(BadInputError, match="reinstall"):
        load_musicnn()
