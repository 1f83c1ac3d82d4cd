"""The reference model from its weights: by name, from a folder or the Hub, and as the suite's system "reference"."""

import dataclasses
import re
import warnings
from pathlib import Path

import torch

from bassbench.errors import BadInputError, unknown_name
from bassbench.training.pretrained import find_device, has_fast_bfloat16, hub_folder, read_metadata
from reference_model.autoencoder import Autoencoder
from reference_model.latents import encoder_hash
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.unet import UNet

WEIGHTS = Path(__file__).parent / "weights"


class UnrecordedEncodersWarning(UserWarning):
    """A U-Net's file does not say which autoencoders it was trained on, so a mismatch would go unseen."""


def load(
    name_or_path: str | Path = "small", device: torch.device | str = "cpu", *, revision: str | None = None
) -> BassAccompaniment:
    """The reference model: shipped weights by name, a folder with the same three files, or a model on the Hub.

    A model on the Hugging Face Hub is pinned: "org/name@revision", or "org/name" and `revision`, a commit or a tag.

    Raises:
        BadInputError: an unknown name, a missing or damaged file, files that do not belong together, or no network.
    """
    folder = _weights_folder(name_or_path, revision)
    device = torch.device(device)
    mix_autoencoder = Autoencoder.from_pretrained(folder / "mix_autoencoder.safetensors", device)
    bass_autoencoder = Autoencoder.from_pretrained(folder / "bass_autoencoder.safetensors", device)
    model = BassAccompaniment(
        mix_autoencoder=mix_autoencoder,
        bass_autoencoder=bass_autoencoder,
        unet=UNet.from_pretrained(folder / "unet.safetensors", device),
        bfloat16=device.type in ("cuda", "cpu") and has_fast_bfloat16(device.type),
    )
    recorded = read_metadata(folder / "unet.safetensors").get("encoders")
    if recorded is None:
        message = f"{folder / 'unet.safetensors'} does not say which autoencoders it was trained on"
        warnings.warn(message, UnrecordedEncodersWarning, stacklevel=2)
        return model
    for which, autoencoder in (("mix", mix_autoencoder), ("bass", bass_autoencoder)):
        if not isinstance(recorded, dict) or not isinstance(recorded.get(which), str):
            raise BadInputError(f"{folder / 'unet.safetensors'}: the header names no {which} autoencoder; get it anew")
        if recorded[which] != encoder_hash(autoencoder):
            raise BadInputError(
                f"{folder}: unet.safetensors was trained on the latents of another {which} autoencoder than "
                f"{which}_autoencoder.safetensors; put files of one training together"
            )
    return model


def reference(
    weights: str = "small",
    device: str = "auto",
    steps: int = Sampling.steps,
    cfg: float = Sampling.cfg,
    phi: float = Sampling.phi,
    grounding: float = Sampling.grounding,
    temperature: float = Sampling.temperature,
    compiled: bool = False,
) -> BassAccompaniment:
    """The model with these options, as `bassbench run reference steps=32 cfg=2` asks for it (entry point).

    Raises:
        BadInputError: an option out of range, unknown weights or device.
    """
    sampling = Sampling(steps=steps, cfg=cfg, phi=phi, grounding=grounding, temperature=temperature)
    return dataclasses.replace(load(weights, find_device(device)), sampling=sampling, compiled=compiled)


def _weights_folder(name_or_path: str | Path, revision: str | None) -> Path:
    for folder in (WEIGHTS / str(name_or_path), Path(name_or_path)):
        if folder.is_dir():
            return folder
    name, _, pinned = str(name_or_path).partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        shipped = sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())
        raise unknown_name("weights", str(name_or_path), shipped, "a folder of weights")
    if not (revision or pinned):
        raise BadInputError(
            f"no folder '{name_or_path}'; a model on the Hugging Face Hub needs its revision: {name}@COMMIT_OR_TAG"
        )
    return hub_folder(name, revision or pinned)
