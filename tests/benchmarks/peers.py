"""Other people's codecs of stereo audio, behind two verbs; weights are random, since time does not depend on them."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference_model import codec
from reference_model.autoencoder import Autoencoder


@dataclass(frozen=True)
class Codec:
    """`encode` takes stereo audio `(2, samples)` at `sample_rate`, `decode` what it gave."""

    sample_rate: int
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Any]
    weights: str


def ours(coder: Autoencoder, weights: str) -> Codec:
    """One of the reference model's autoencoders."""

    def decode(latent: Tensor) -> Tensor:
        return codec.decode(coder, latent)

    return Codec(44_100, lambda audio: codec.encode(coder, audio[None]), decode, weights)


def encodec_48khz(device: torch.device) -> Codec:
    """EnCodec for stereo at 48 kHz, at its highest bandwidth of 24 kbps (Défossez et al., 2022)."""
    encodec = pytest.importorskip("encodec", reason="encodec is not installed (extra: bench)")
    model = encodec.EncodecModel.encodec_model_48khz(pretrained=False).to(device).eval()
    model.set_target_bandwidth(24.0)
    return Codec(48_000, lambda audio: model.encode(audio[None]), model.decode, "random")


def dac_44khz(device: torch.device) -> Codec:
    """Descript Audio Codec for 44.1 kHz (Kumar et al., 2023), as in transformers; mono: the channels are a batch."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: bench)")
    config = transformers.DacConfig(sampling_rate=44_100, downsampling_ratios=[2, 4, 8, 8], n_codebooks=9)
    model = transformers.DacModel(config).to(device).eval()
    return Codec(
        44_100,
        lambda audio: model.encode(audio[:, None]).audio_codes,
        lambda codes: model.decode(audio_codes=codes).audio_values,
        "random",
    )


def music2latent(device: torch.device) -> Codec:
    """Music2Latent (Pasini et al., 2024), 44.1 kHz, mono, so both channels are a batch; one denoising step."""
    pytest.importorskip("music2latent", reason="music2latent is not installed (extra: bench)")
    from music2latent import inference, models

    holder = SimpleNamespace(gen=models.UNet().to(device))
    limits = inference.max_waveform_length_encode, inference.max_batch_size_encode

    def decode(latent: Any) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            return inference.decode_latent_inference(latent, holder, *limits, device=device)

    return Codec(
        44_100,
        lambda audio: inference.encode_audio_inference(audio.numpy(), holder, *limits, device=device),
        decode,
        "random",
    )


PEERS: dict[str, Callable[[torch.device], Codec]] = {
    "EnCodec 48 kHz": encodec_48khz,
    "DAC 44.1 kHz": dac_44khz,
    "music2latent": music2latent,
}
