"""fadtk's models as embedders: the real loader interface with a small fake network, and no download without leave."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_suite import forget

from bassbench.embedders import fadtk as fadtk_embedders
from bassbench.embedders.embedder import prepare
from bassbench.embedders.fadtk import DOWNLOAD, FADTK_MODELS, INSTALL, FadtkModel, fadtk_embedder
from bassbench.embedders.registry import embed, find_embedder, protocol
from bassbench.errors import BadInputError

model_loader = pytest.importorskip("fadtk.model_loader", reason=f"needs {INSTALL}")


class FakeModel(model_loader.ModelLoader):
    """Eight spectral bands a tenth of a second, by weights from a file."""

    def __init__(self, weights: str) -> None:
        super().__init__("fake", 8, 16_000, min_len=1)
        self.weights = weights

    def load_model(self) -> None:
        print("chatter that no one should see")
        torch.set_grad_enabled(False)
        self.model = torch.load(self.weights, weights_only=True)

    def _get_embedding(self, audio: np.ndarray) -> torch.Tensor:
        frames = torch.from_numpy(np.asarray(audio, np.float32)).to(self.device).unfold(0, 1600, 1600)
        return frames @ self.model.to(self.device)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """The fake model among fadtk's, its weights in a file."""
    weights = tmp_path / "weights.pt"
    torch.save(torch.randn(1600, 8, generator=torch.Generator().manual_seed(0)), weights)
    model = FadtkModel("FakeModel", {"weights": str(weights)}, 8, 16_000, "https://nowhere/x", 12, lambda: [weights])
    monkeypatch.setitem(FADTK_MODELS, "fake", model)
    monkeypatch.setattr(model_loader, "FakeModel", FakeModel, raising=False)
    monkeypatch.delenv(DOWNLOAD, raising=False)
    forget()
    return FakeModel(str(weights))


def test_it_embeds_as_fadtk_does_but_in_float32(
    fake: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = 0.2 * np.random.default_rng(0).standard_normal((2, 2 * 44_100)).astype(np.float32)
    ours = embed(audio, 44_100, "fadtk:fake")
    assert ours.shape == (20, 8) and ours.dtype == np.float32
    assert torch.is_grad_enabled() and capsys.readouterr().out == ""
    prepared = prepare(audio, 44_100, find_embedder("fadtk:fake"))
    soundfile.write(tmp_path / "audio.wav", np.clip(prepared, -1, 1), 16_000, subtype="PCM_16")
    fake.device = torch.device("cpu")
    fake.load_model()
    torch.set_grad_enabled(True)
    theirs = fake.get_embedding(fake.load_wav(tmp_path / "audio.wav"))
    assert theirs.dtype == np.float16
    np.testing.assert_allclose(ours, theirs.astype(np.float32), rtol=2e-3, atol=2e-3)


def test_it_is_named_in_the_protocol(fake: FakeModel) -> None:
    assert protocol("fadtk:fake")["embedder"] == "fadtk:fake"
    assert protocol("fadtk:fake")["dim"] == 8


def test_missing_weights_say_what_where_and_how_large(fake: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(fake.weights).unlink()
    with pytest.raises(BadInputError, match=r"about 12 MB from https://nowhere/x; set BASSBENCH_DOWNLOAD=1"):
        fadtk_embedder("fake")
    monkeypatch.setenv(DOWNLOAD, "1")
    loaded = fadtk_embedder("fake").loader
    with pytest.raises(BadInputError, match=r"cannot be loaded \(FileNotFoundError.*12 MB"):
        loaded("cpu")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadInputError, match="no fadtk embedder 'ears'"):
        fadtk_embedder("ears")


def test_wrong_width_is_refused(fake: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = FadtkModel("FakeModel", {"weights": fake.weights}, 9, 16_000, "u", 1, lambda: [Path(fake.weights)])
    monkeypatch.setitem(fadtk_embedders.FADTK_MODELS, "fake", wrong)
    with pytest.raises(BadInputError, match="8 dimensions, expected 9"):
        embed(np.ones((2, 44_100), np.float32), 44_100, "fadtk:fake")


@pytest.mark.parametrize("name", [name for name in FADTK_MODELS if not name.startswith("clap")])
def test_names_sizes_and_rates_are_fadtks_own(name: str) -> None:
    """fadtk's CLAP loaders download when they are built; all others can be asked."""
    model = FADTK_MODELS[name]
    theirs = getattr(model_loader, model.loader)(**model.arguments)
    assert (theirs.name, theirs.num_features, theirs.sr) == (name, model.dim, model.sample_rate)


@pytest.mark.parametrize("name", ["clap-2023", "clap-laion-audio", "clap-laion-music"])
def test_the_files_are_those_that_fadtk_looks_for(name: str) -> None:
    model = FADTK_MODELS[name]
    (path,) = model.files()
    assert path.parent == Path(model_loader.__file__).parent / ".model-checkpoints"
    assert path.name == model.url.split("/")[-1]
