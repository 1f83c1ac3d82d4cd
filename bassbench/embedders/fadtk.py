"""The embedders of fadtk by name, `fadtk:clap-laion-music` and so on, each built only when it is asked for.

fadtk's own list builds every model at once, downloading as it goes; here a name stands for one loader class and its
arguments. Nothing is downloaded without leave: where the weights are not on this machine, the error says what would be
fetched, from where and how large, and BASSBENCH_DOWNLOAD=1 allows it. fadtk is an extra of its own, since it pins
numpy < 2, pandas < 3 and transformers < 5. Audio goes through the loader's own `load_wav`
as a 16-bit wav at its rate and then its own network; embeddings stay in float32 (fadtk stores float16).
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bassbench.embedders.embedder import Embedder, WindowFunction
from bassbench.errors import BadInputError, unknown_name

PREFIX = "fadtk:"
DOWNLOAD = "BASSBENCH_DOWNLOAD"
INSTALL = "pip install 'bassbench[fadtk]'"
_HUB, _TORCH = "https://huggingface.co/", "https://dl.fbaipublicfiles.com/encodec/v0/"


@dataclass(frozen=True)
class FadtkModel:
    """One of fadtk's models: the class that loads it and its arguments, and its weights.

    `megabytes` is about the size of the download from `url`; `files` are the places of which one holds it if it is
    here. `seconds` is the least that the model takes.
    """

    loader: str
    arguments: dict[str, Any]
    dim: int
    sample_rate: int
    url: str
    megabytes: int
    files: Callable[[], list[Path]]
    seconds: float = 1.0
    package: str = ""
    """What fadtk needs besides itself."""


def fadtk_embedder(name: str) -> Embedder:
    """The embedder of a name in `FADTK_MODELS`; its network is loaded when it is first used.

    Raises:
        BadInputError: unknown name; fadtk or the weights are not here (raised at once, before any audio is made).
    """
    if name not in FADTK_MODELS:
        raise unknown_name("fadtk embedder", name, FADTK_MODELS)
    if not installed():
        raise BadInputError(f"embedder {PREFIX}{name} needs fadtk: {INSTALL} (Python 3.10 to 3.12)")
    model = FADTK_MODELS[name]
    if not os.environ.get(DOWNLOAD) and not any(path.exists() for path in model.files()):
        raise BadInputError(
            f"embedder {PREFIX}{name}: its weights are not on this machine: about {model.megabytes} MB from "
            f"{model.url}; set {DOWNLOAD}=1 to download them, or choose another embedder"
        )
    return Embedder(
        name=PREFIX + name,
        sample_rate=model.sample_rate,
        window=model.seconds,
        hop=0.0,  # the network's own
        dim=model.dim,
        loader=partial(_load, name, model),
    )


def installed() -> bool:
    """Whether fadtk is in this environment; it is not imported to find out, as that takes seconds."""
    return find_spec("fadtk") is not None


def _load(name: str, model: FadtkModel, device: str) -> WindowFunction:
    """Build and load one model through fadtk's loader interface, said nothing and left no flag behind."""
    import torch

    gradients = torch.is_grad_enabled()
    try:
        from fadtk import model_loader

        with contextlib.redirect_stdout(io.StringIO()):
            loader = getattr(model_loader, model.loader)(**model.arguments)
            loader.device = torch.device(device)
            loader.load_model()
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())[:200]
        hint = f"; it needs the package {model.package}" if model.package and isinstance(error, ImportError) else ""
        raise BadInputError(
            f"embedder {PREFIX}{name} cannot be loaded ({type(error).__name__}: {said}){hint}; its weights are about "
            f"{model.megabytes} MB from {model.url}"
        ) from error
    finally:
        torch.set_grad_enabled(gradients)

    def embeddings(audio: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "audio.wav"
            soundfile.write(path, np.clip(audio, -1, 1), model.sample_rate, subtype="PCM_16")
            with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
                embedded = loader._get_embedding(loader.load_wav(path))
        rows = np.asarray(embedded.detach().cpu().float().numpy()).reshape(-1, embedded.shape[-1])
        if rows.shape[1] != model.dim:
            raise BadInputError(f"embedder {PREFIX}{name} gave {rows.shape[1]} dimensions, expected {model.dim}")
        return rows

    return embeddings


def _checkpoint(file: str) -> list[Path]:
    found = find_spec("fadtk")
    return [Path(found.origin).parent / ".model-checkpoints" / file] if found and found.origin else []


def _torch_hub(file: str) -> list[Path]:
    import torch

    return [Path(torch.hub.get_dir()) / "checkpoints" / file]


def _hub(repository: str) -> list[Path]:
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return [*snapshots.glob("*/*.safetensors"), *snapshots.glob("*/pytorch_model*.bin")]


def _on_hub(loader: str, repository: str, dim: int, rate: int, megabytes: int, **arguments: Any) -> FadtkModel:
    return FadtkModel(loader, arguments, dim, rate, _HUB + repository, megabytes, partial(_hub, repository))


def _laion(kind: str, file: str, megabytes: int) -> FadtkModel:
    url = f"{_HUB}lukewys/laion_clap/resolve/main/{file}"
    return FadtkModel("CLAPLaionModel", {"type": kind}, 512, 48_000, url, megabytes, partial(_checkpoint, file))


def _encodec(variant: str, file: str, rate: int, megabytes: int) -> FadtkModel:
    files = partial(_torch_hub, file)
    return FadtkModel("EncodecEmbModel", {"variant": variant}, 128, rate, _TORCH + file, megabytes, files)


def _layers(prefix: str, last: int, plain: bool, make: Callable[[int], FadtkModel]) -> dict[str, FadtkModel]:
    """A model a layer, named as fadtk names it: the last layer of some has no number."""
    return {prefix + ("" if plain and layer == last else f"-{layer}"): make(layer) for layer in range(1, last + 1)}


def _speech(loader: str, prefix: str, repository: str, size: str, plain: bool) -> dict[str, FadtkModel]:
    large = size == "large"
    last, dim, megabytes = (24, 1024, 1260) if large else (12, 768, 380)

    def make(layer: int) -> FadtkModel:
        return _on_hub(loader, repository.format(size), dim, 16_000, megabytes, size=size, layer=layer)

    return _layers(f"{prefix}-{size}", last, plain, make)


_CLAP = "CLAP_weights_2023.pth"
_VGGISH = "vggish-10086976.pth"
_DAC = Path(".cache") / "descript" / "dac" / "weights_44khz_8kbps_0.0.1.pth"
_WHISPER = {"tiny": (384, 151), "base": (512, 290), "small": (768, 967), "medium": (1024, 3060), "large": (1280, 6170)}
_WAVLM = "patrickvonplaten/wavlm-libri-clean-100h-{}"

FADTK_MODELS: dict[str, FadtkModel] = {
    "clap-2023": FadtkModel(
        "CLAPModel",
        {"type": "2023"},
        1024,
        44_100,
        f"{_HUB}microsoft/msclap/resolve/main/{_CLAP}",
        690,
        partial(_checkpoint, _CLAP),
        package="msclap",
    ),
    "clap-laion-audio": _laion("audio", "630k-audioset-best.pt", 1860),
    "clap-laion-music": _laion("music", "music_audioset_epoch_15_esc_90.14.pt", 2350),
    "vggish": FadtkModel(
        "VGGishModel",
        {},
        128,
        16_000,
        f"https://github.com/harritaylor/torchvggish/releases/download/v0.1/{_VGGISH}",
        290,
        partial(_torch_hub, _VGGISH),
    ),
    **_layers("MERT-v1-95M", 12, True, lambda n: _on_hub("MERTModel", "m-a-p/MERT-v1-95M", 768, 24_000, 380, layer=n)),
    "encodec-emb": _encodec("24k", "encodec_24khz-d7cc33bc.th", 24_000, 93),
    "encodec-emb-48k": _encodec("48k", "encodec_48khz-7e698e3e.th", 48_000, 76),
    **_speech("W2V2Model", "w2v2", "facebook/wav2vec2-{}-960h", "base", True),
    **_speech("W2V2Model", "w2v2", "facebook/wav2vec2-{}-960h", "large", True),
    **_speech("HuBERTModel", "hubert", "facebook/hubert-{}-ls960", "base", True),
    **_speech("HuBERTModel", "hubert", "facebook/hubert-{}-ls960", "large", True),
    **_speech("WavLMModel", "wavlm", _WAVLM, "base", True),
    **_speech("WavLMModel", "wavlm", _WAVLM, "base-plus", True),
    **_speech("WavLMModel", "wavlm", _WAVLM, "large", True),
    **{
        f"whisper-{size}": _on_hub("WhisperModel", f"openai/whisper-{size}", dim, 16_000, megabytes, size=size)
        for size, (dim, megabytes) in _WHISPER.items()
    },
    "dac-44kHz": FadtkModel(
        "DACModel",
        {},
        1024,
        44_100,
        "https://github.com/descriptinc/descript-audio-codec/releases/download/0.0.1/weights.pth",
        307,
        lambda: [Path.home() / _DAC],
        package="descript-audio-codec",
    ),
}
