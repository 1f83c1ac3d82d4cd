"""Side by side: the autoencoders and other codecs on as much stereo audio; FAD from files here and in fadtk."""

import contextlib
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from measuring import Measure
from peers import PEERS, Codec, ours
from subjects import noise, reference_model, seconds

from bassbench.audio import SAMPLE_RATE, read_audio, resample, write_audio
from bassbench.embedders import musicnn
from bassbench.embedders.registry import EMBEDDERS, embed
from bassbench.metrics.fad import frechet_distance
from bassbench.metrics.gaussian import Gaussian

FRAMES = 16
"""Latent frames of the audio that every codec gets, 1.5 s: some peers take long on a CPU."""
OURS = {"bassbench mix": "mix_autoencoder", "bassbench bass": "bass_autoencoder"}


@pytest.fixture(scope="module", params=[*OURS, *PEERS])
def codec(request: pytest.FixtureRequest, preset: str, device: torch.device) -> tuple[str, Codec]:
    """A codec by name."""
    if request.param in OURS:
        weights = "shipped" if preset == "small" else "random"
        return request.param, ours(getattr(reference_model(preset, device), OURS[request.param]), weights)
    torch.manual_seed(0)
    return request.param, PEERS[request.param](device)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_codec(measure: Measure, device: torch.device, codec: tuple[str, Codec], direction: str) -> None:
    name, one = codec
    audio = torch.from_numpy(resample(noise(1, FRAMES)[0], SAMPLE_RATE, one.sample_rate)).to(device)
    with torch.no_grad():
        coded = one.encode(audio)
        result = measure(
            (lambda: one.encode(audio)) if direction == "encode" else (lambda: one.decode(coded)),
            group="codecs side by side",
            case=direction,
            system=name,
            audio=seconds(FRAMES),
            weights=one.weights,
        )
    assert result is not None


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of eight stereo clips of 23.8 s at 44.1 kHz."""
    audio, parent = noise(16, 256), tmp_path_factory.mktemp("fad")
    for index, clip in enumerate(audio):
        write_audio(parent / ("first", "second")[index % 2] / f"{index}.wav", clip)
    return parent / "first", parent / "second"


CASE = {"group": "FAD side by side", "case": "musicnn, wav to distance", "audio": 16 * seconds(256), "clips": 16}


def test_fad(measure: Measure, folders: tuple[Path, Path], device: torch.device) -> None:
    def distance() -> float:
        sides = []
        for folder in folders:
            songs = (
                Gaussian.from_samples(embed(read_audio(p), SAMPLE_RATE, device=device.type)) for p in _wavs(folder)
            )
            sides.append(sum(songs, Gaussian.empty(EMBEDDERS["musicnn"].dim)))
        return frechet_distance(*sides)

    assert measure(distance, **CASE) >= 0


@pytest.mark.filterwarnings("ignore")
def test_fadtk_fad(measure: Measure, folders: tuple[Path, Path], fadtk: types.ModuleType, tmp_path: Path) -> None:
    """fadtk's path on the same clips, around the same network: its files, its float16 embeddings, its distance."""
    from fadtk.model_loader import ModelLoader

    class MusicnnLoader(ModelLoader):
        def __init__(self) -> None:
            super().__init__("musicnn", musicnn.PENULTIMATE, musicnn.RATE)
            self.device = torch.device("cpu")

        def load_model(self) -> None:
            self.model = musicnn.load_musicnn()

        def _get_embedding(self, audio: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(musicnn.musicnn_embeddings(self.model, audio.astype(np.float32)))

    loads = iter(range(10**6))

    def distance() -> float:
        copies = [_linked(folder, tmp_path / f"{next(loads)}") for folder in folders]  # what it caches lies beside
        with contextlib.redirect_stdout(io.StringIO()):
            harness = fadtk.FrechetAudioDistance(MusicnnLoader())
            for copy in copies:
                for path in _wavs(copy):
                    harness.cache_embedding_file(path)
            return harness.score(*copies)

    gradients = torch.is_grad_enabled()
    try:
        assert measure(distance, system="fadtk", **CASE) >= 0
    finally:
        torch.set_grad_enabled(gradients)


@pytest.fixture()
def fadtk(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """fadtk's harness, reading and writing wav files by soundfile where torchaudio has lost its own way to."""
    pytest.importorskip("fadtk")
    from fadtk import fad

    monkeypatch.setattr(fad.torchaudio, "load", _load)
    monkeypatch.setattr(fad.torchaudio, "save", _save)
    yield fad
    sys.modules.pop("fadtk.__main__", None)


def _load(path: str, **_: object) -> tuple[torch.Tensor, int]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(audio.T.copy()), rate


def _save(path: str, audio: torch.Tensor, rate: int, **_: object) -> None:
    soundfile.write(path, audio.numpy().T, rate, subtype="PCM_16")


def _linked(folder: Path, place: Path) -> Path:
    copy = place / folder.name
    copy.mkdir(parents=True)
    for path in _wavs(folder):
        (copy / path.name).symlink_to(path)
    return copy


def _wavs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.wav"))
