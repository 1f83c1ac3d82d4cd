"""Loading the model: by name, from a folder or from the Hub, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import safe_open
from safetensors.torch import save_file

import reference_model
from bassbench.errors import BadInputError
from bassbench.training.checkpoint import load_tensors
from contrastive.encoder import Matcher
from reference_model.autoencoder import Autoencoder
from reference_model.loading import UnrecordedEncodersWarning, load
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.presets import PRESETS
from reference_model.unet import UNet


def test_names_are_exported() -> None:
    assert reference_model.load is load and reference_model.Sampling is Sampling
    with pytest.raises(AttributeError):
        reference_model.nothing  # noqa: B018


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no weights 'grand'"):
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
    UNet(PRESETS["tiny"].unet).save_pretrained(folder / "unet.safetensors")
    with pytest.warns(UnrecordedEncodersWarning, match="unet.safetensors"):
        load(folder)


def with_header(path: Path, text: str) -> None:
    """The same tensors under another header."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    save_file(tensors, path, {"bassbench": text})


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[" * 200_000, "[]", "5", "{}", '{"kind": []}', '{"kind": "KIND"}', '{"kind": "KIND", "config": []}'),
        *('{"kind": "KIND", "config": {}}', '{"kind": "KIND", "config": {"widths": 5, "encoder": 5, "features": []}}'),
        *("HUGE", "ODD", "DEEP"),
    ],
)
@pytest.mark.parametrize("name", ["bass_autoencoder", "unet", "matcher"])
def test_a_header_that_is_none_is_one_line(weights: Path, tmp_path: Path, name: str, text: str) -> None:
    path = Path(shutil.copy(weights / f"{name}.safetensors", tmp_path))
    kind = name.removeprefix("bass_")
    config = load_tensors(path)[1]["config"]
    changed = {"dims" if "dims" in config else "bass_dims": 12 * 10**9 if text == "HUGE" else "x"}
    if text == "DEEP":  # so many blocks that to build them would take for ever
        changed = {"decoder": [{**config["decoder"][0], "blocks": 10**9}]} if "decoder" in config else {"blocks": 10**9}
    if text in ("HUGE", "ODD", "DEEP"):
        text = json.dumps({"kind": kind, "config": config | changed})
    with_header(path, text.replace("KIND", kind))
    read = {"matcher": Matcher, "unet": UNet, "autoencoder": Autoencoder}[kind].from_pretrained
    with pytest.raises(BadInputError, match=name) as error:
        read(path)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


@pytest.mark.parametrize("encoders", [{}, [], "both", {"mix": 5}, {"mix": ["a"], "bass": {}}])
def test_a_header_that_names_no_autoencoders_is_refused(weights: Path, tmp_path: Path, encoders: object) -> None:
    folder = shutil.copytree(weights, tmp_path / "copy")
    metadata = load_tensors(folder / "unet.safetensors")[1]
    with_header(folder / "unet.safetensors", json.dumps(metadata | {"encoders": encoders}))
    with pytest.raises(BadInputError, match=r"unet.safetensors: the header names no mix autoencoder"):
        load(folder)


@pytest.mark.parametrize("seeds", [[-1], [2**64], [0.5], [True], ["a"], [None]])
def test_seeds_of_clips_are_whole_numbers(weights: Path, seeds: list) -> None:
    with pytest.raises(BadInputError, match="whole number of 64 bits"):
        load(weights).accompany(np.zeros((1, 2, 44_100), np.float32), seeds=seeds)


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
