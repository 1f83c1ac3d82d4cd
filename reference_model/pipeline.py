"""The reference model as a whole: a mix goes in, a bass that fits it comes out."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bassbench.bad_input import BadInputError
from reference_model.autoencoder import Autoencoder
from reference_model.config import SAMPLE_RATE
from reference_model.diffusion import denoiser
from reference_model.grounding import grounded
from reference_model.guidance import guided
from reference_model.sampler import ddim, noise_for_seeds
from reference_model.unet import UNet
from reference_model.windows import windowed

WEIGHTS = Path(__file__).parent / "weights"
OnStep = Callable[[int], None]

# Level of the training mixes, root mean square below full scale. A mix outside is brought to the nearer end.
_QUIETEST, _LOUDEST = 10 ** (-26 / 20), 10 ** (-17 / 20)


@dataclass(frozen=True)
class Sampling:
    """How a bass is drawn from the model."""

    steps: int = 64
    """DDIM steps (K)."""
    cfg: float = 2.0
    """Guidance weight w: 1 is the plain conditional model, 0 the unconditional one."""
    phi: float = 0.5
    """Rescale of the guided estimate, 0 (none) to 1."""
    eta: float = 0.0
    """Fresh noise in each step, 0 (DDIM) to 1 (DDPM)."""
    grounding: float = 1.0
    """Strength of style grounding, 0 to 1; without a style it has no effect."""
    window: int = 1024
    """Latent frames (93 ms) that the U-Net sees at once; longer mixes go through in overlapping windows."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInputError(f"steps must be at least 1, got {self.steps}")
        if self.window < 256:
            raise BadInputError(f"window must be at least 256 frames, the length of training, got {self.window}")
        if not np.isfinite(self.cfg):
            raise BadInputError(f"cfg must be a finite number, got {self.cfg}")
        for name in ("phi", "eta", "grounding"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class BassAccompaniment:
    """Two autoencoders and a U-Net; an `Accompanist` for the suite."""

    mix_autoencoder: Autoencoder
    bass_autoencoder: Autoencoder
    unet: UNet
    sampling: Sampling = Sampling()
    name: str = "reference"
    sample_rate: int = SAMPLE_RATE
    batch_size: int = 16
    """Clips at a time; it changes the memory needed, not the result."""
    bfloat16: bool = False
    """Run the U-Net in bfloat16: twice as fast where the hardware has it."""

    def __post_init__(self) -> None:
        coders = (self.mix_autoencoder.config, self.bass_autoencoder.config)
        found = [(coder.which, coder.dims) for coder in coders]
        wanted = [("mix", self.unet.config.mix_dims), ("bass", self.unet.config.bass_dims)]
        if found != wanted:
            raise BadInputError(f"the U-Net needs autoencoders {wanted}, got {found}")

    @property
    def device(self) -> torch.device:
        """Where the U-Net is."""
        return self.unet.input.weight.device

    @property
    def _coded_together(self) -> int:
        # Spectra of long clips are large: on a CPU one clip at a time halves the time that a batch of them takes.
        return 1 if self.device.type == "cpu" else 4

    def accompany(
        self,
        mix: np.ndarray,
        *,
        style: np.ndarray | None = None,
        seeds: Sequence[int],
        sampling: Sampling | None = None,
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes `(batch, 2, samples)`, float32 at 44.1 kHz, within full scale.

        `style` `(batch or 1, 2, any samples)` gives the timbre. Each clip has its seed and depends on no other clip.

        Raises:
            BadInputError: shapes that do not fit together.
        """
        _check(mix, style, seeds)
        basses = []
        for start in range(0, len(mix), self.batch_size):
            these = slice(start, start + self.batch_size)
            gain = level_gain(mix[these])
            mix_latent = self.encode_mix(mix[these] if (gain == 1).all() else mix[these] * gain)
            style_mean = None
            if style is not None:
                style_mean = self.style_mean(style if len(style) == 1 else style[these])
            latent = self.generate_latents(
                mix_latent, seeds=seeds[these], style_mean=style_mean, sampling=sampling, on_step=on_step
            )
            bass = self.decode(latent, mix.shape[2])
            peak = np.maximum(bass.max(axis=(1, 2), keepdims=True), -bass.min(axis=(1, 2), keepdims=True))
            bass /= np.maximum(gain, peak / 0.999)
            basses.append(bass)
        return basses[0] if len(basses) == 1 else np.concatenate(basses)

    @torch.no_grad()
    def encode_mix(self, mix: np.ndarray) -> Tensor:
        """Mix latents `(batch, mix_dims, frames)`, 4096 samples a frame."""
        return self.mix_autoencoder.encode(torch.from_numpy(mix))

    @torch.no_grad()
    def style_mean(self, style: np.ndarray) -> Tensor:
        """Mean over time of the style's latents, `(batch, bass_dims)`."""
        return self.bass_autoencoder.encode(torch.from_numpy(style)).mean(dim=2)

    @torch.inference_mode()
    def generate_latents(
        self,
        mix: Tensor,
        *,
        seeds: Sequence[int],
        style_mean: Tensor | None = None,
        sampling: Sampling | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Bass latents `(batch, bass_dims, frames)` for mix latents `(batch, mix_dims, frames)`.

        Unconditional samples: zeros for `mix`, cfg 0.
        """
        sampling = sampling or self.sampling
        frames = mix.shape[2]
        # Whole frames at the coarsest resolution: what the U-Net would repeat at the end is drawn like the rest.
        mix = F.pad(mix.to(self.device), (0, -frames % self.unet.config.stride), mode="replicate")
        unet = windowed(self.unet, sampling.window, overlap=128, batch=self.batch_size)
        denoise = guided(denoiser(unet, mix), denoiser(unet, torch.zeros_like(mix)), sampling.cfg, sampling.phi)
        if style_mean is not None:
            denoise = grounded(denoise, style_mean.to(self.device), strength=sampling.grounding)
        noise = noise_for_seeds(seeds, self.unet.config.bass_dims, mix.shape[2]).to(self.device)
        fast = torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else contextlib.nullcontext()
        with fast:
            latent = ddim(denoise, noise, sampling.steps, eta=sampling.eta, seeds=seeds, on_step=on_step)
        return latent[..., :frames]

    @torch.no_grad()
    def decode(self, latent: Tensor, samples: int | None = None) -> np.ndarray:
        """Audio `(batch, 2, samples)` of bass latents; `samples` cuts what the padding added."""
        pieces = latent.split(self._coded_together)
        return torch.cat([self.bass_autoencoder.decode(piece, samples).float().cpu() for piece in pieces]).numpy()


def level_gain(mix: np.ndarray) -> np.ndarray:
    """Factor `(batch, 1, 1)` that brings each mix into the range of levels that the model was trained on.

    Not in the paper. The bass is divided by it again, so a quieter mix gets the same bass, as much quieter.
    """
    square = np.stack([sum(float(np.vdot(channel, channel)) for channel in clip) for clip in mix])
    rms = np.sqrt(square / (mix.shape[1] * mix.shape[2]))[:, None, None]
    gain = np.clip(rms, _QUIETEST, _LOUDEST) / np.maximum(rms, 1e-12)
    return np.where(rms < 1e-5, 1.0, gain).astype(np.float32)  # silence stays silence


def load(name_or_path: str | Path = "small", device: torch.device | str = "cpu") -> BassAccompaniment:
    """The reference model by the name of its shipped weights, or from a folder with the same three files.

    Raises:
        BadInputError: an unknown name, a missing or damaged file, or files that do not belong together.
    """
    folder = WEIGHTS / str(name_or_path)
    if not folder.is_dir():
        folder = Path(name_or_path)
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())) or "none"
        raise BadInputError(f"no weights named '{name_or_path}' (shipped: {known}) and no such folder")
    device = torch.device(device)
    return BassAccompaniment(
        mix_autoencoder=Autoencoder.from_pretrained(folder / "mix_autoencoder.safetensors", device),
        bass_autoencoder=Autoencoder.from_pretrained(folder / "bass_autoencoder.safetensors", device),
        unet=UNet.from_pretrained(folder / "unet.safetensors", device),
        bfloat16=device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported()),
    )


def _check(mix: np.ndarray, style: np.ndarray | None, seeds: Sequence[int]) -> None:
    if mix.ndim != 3 or mix.shape[1] != 2 or not mix.size:
        raise BadInputError(f"mix must be (batch, 2, samples), got {mix.shape}")
    if len(seeds) != len(mix):
        raise BadInputError(f"{len(mix)} mixes need as many seeds, got {len(seeds)}")
    if style is not None and (style.ndim != 3 or style.shape[1] != 2 or len(style) not in (1, len(mix))):
        raise BadInputError(f"style must be ({len(mix)} or 1, 2, samples), got {style.shape}")
