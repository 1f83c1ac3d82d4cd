"""Both autoencoders, from audio to latents and back: in one piece and in chunks, by batch and by length."""

import pytest
import torch
from measuring import Measure
from subjects import CLIP_FRAMES, noise, reference_model, seconds

from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec import CHUNK

LENGTHS = (64, 1024)
"""Latent frames beside those of a clip: 6 s and 95 s."""
CHUNKS = {"whole": 4 * CHUNK, "chunked": 64}


def _coder(preset: str, device: torch.device, which: str) -> Autoencoder:
    model = reference_model(preset, device)
    return model.mix_autoencoder if which == "mix" else model.bass_autoencoder


@pytest.mark.parametrize("how", CHUNKS)
@pytest.mark.parametrize("which", ["mix", "bass"])
def test_encode(measure: Measure, preset: str, device: torch.device, which: str, how: str, batch: int) -> None:
    coder, audio = _coder(preset, device, which), torch.from_numpy(noise(batch, CLIP_FRAMES)).to(device)
    latent = measure(
        lambda: codec.encode(coder, audio, chunk=CHUNKS[how]),
        group="autoencoder encode",
        case=f"{which}, {how}",
        audio=batch * seconds(CLIP_FRAMES),
        batch=batch,
        frames=CLIP_FRAMES,
    )
    assert latent.shape == (batch, coder.config.dims, CLIP_FRAMES)


def test_encode_plainly(measure: Measure, preset: str, device: torch.device) -> None:
    """As in training, every spectrum whole, to see what slices save."""
    coder, audio = _coder(preset, device, "bass"), torch.from_numpy(noise(1, CLIP_FRAMES)).to(device)
    with torch.no_grad():
        latent = measure(
            lambda: coder.latent(coder.log_magnitude(audio)),
            group="autoencoder encode",
            case="bass, as in training",
            audio=seconds(CLIP_FRAMES),
            batch=1,
            frames=CLIP_FRAMES,
        )
    assert latent.shape == (1, CLIP_FRAMES, coder.config.dims)


@pytest.mark.parametrize("how", CHUNKS)
@pytest.mark.parametrize("which", ["mix", "bass"])
def test_decode(measure: Measure, preset: str, device: torch.device, which: str, how: str, batch: int) -> None:
    coder = _coder(preset, device, which)
    latent = torch.randn(batch, coder.config.dims, CLIP_FRAMES, generator=torch.Generator().manual_seed(0)).to(device)
    audio = measure(
        lambda: codec.decode(coder, latent, chunk=CHUNKS[how]),
        group="autoencoder decode",
        case=f"{which}, {how}",
        audio=batch * seconds(CLIP_FRAMES),
        batch=batch,
        frames=CLIP_FRAMES,
    )
    assert audio.shape[:2] == (batch, 2) and audio.isfinite().all()


@pytest.mark.parametrize("frames", LENGTHS)
def test_codec_by_length(measure: Measure, preset: str, device: torch.device, frames: int) -> None:
    coder, audio = _coder(preset, device, "bass"), torch.from_numpy(noise(1, frames)).to(device)
    measure(
        lambda: codec.decode(coder, codec.encode(coder, audio)),
        group="autoencoder by length",
        case="bass, there and back",
        audio=seconds(frames),
        batch=1,
        frames=frames,
    )
