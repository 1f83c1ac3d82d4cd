"""The reference model as a whole: a mix goes in, a bass that fits it comes out."""

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bassbench.cache import content_hash
from bassbench.errors import BadInputError, check_limits, unknown_name
from bassbench.training.pretrained import has_fast_bfloat16, hub_folder, read_metadata
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec import CHUNK
from reference_model.diffusion import Schedule, cosine, denoiser, falling_levels
from reference_model.grounding import grounded
from reference_model.guidance import guided
from reference_model.inference import prepared
from reference_model.latents import encoder_hash
from reference_model.presets import R_TIME, SAMPLE_RATE
from reference_model.sampler import SAMPLERS, noise_for_seeds
from reference_model.unet import UNet
from reference_model.windows import windowed

WEIGHTS = Path(__file__).parent / "weights"
OnStep = Callable[[int], None]

# Level of the training mixes, root mean square below full scale. A mix outside is brought to the nearer end.
_QUIETEST, _LOUDEST = 10 ** (-26 / 20), 10 ** (-17 / 20)
# Median level of the training basses (16 renderings; four in five lie within 3 dB of it).
_BASS_LEVEL = 10 ** (-22 / 20)


class UnrecordedEncodersWarning(UserWarning):
    """A U-Net's file does not say which autoencoders it was trained on, so a mismatch would go unseen."""


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
    sampler: str = "ddim"
    """A name in `reference_model.sampler.SAMPLERS`; only "ddim" takes eta."""
    grounding_exponent: float = 2.0
    """Style grounding's weight is strength * beta^exponent; the paper's is beta^2."""
    temperature: float = 1.0
    """Deviation of the noise that sampling starts from; the paper's is 1, less is more certain and less varied."""

    def __post_init__(self) -> None:
        check_limits(self, option=False)
        if self.sampler not in SAMPLERS:
            raise unknown_name("sampler", self.sampler, SAMPLERS)
        if self.eta and self.sampler != "ddim":
            raise BadInputError(f"eta is DDIM's; with the sampler {self.sampler} it must be 0, got {self.eta}")


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
    compiled: bool = False
    """Compile the U-Net: an evaluation takes a quarter less time, after a minute at the first clip of each length."""
    schedule: Schedule = cosine
    """The one that the U-Net was trained with."""

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

        `style` `(batch or 1, 2, any samples)` gives the timbre, whatever its level. Each clip has its seed and depends
        on no other clip.

        Raises:
            BadInputError: shapes that do not fit together, or what is not an array of finite floats.
        """
        mix, style = _checked(mix, style, seeds)
        basses = []
        for start in range(0, len(mix), self.batch_size):
            these = slice(start, start + self.batch_size)
            gain = level_gain(_rms(mix[these]))
            mix_latent = self.encode_mix(mix[these], gain)
            style_mean = None
            if style is not None:
                style_mean = self.style_mean(style if len(style) == 1 else style[these])
            latent = self.generate_latents(
                mix_latent, seeds=seeds[these], style_mean=style_mean, sampling=sampling, on_step=on_step
            )
            bass = self.decode(latent, mix.shape[2])
            peak = np.maximum(bass.max(axis=(1, 2), keepdims=True), -bass.min(axis=(1, 2), keepdims=True))
            bass /= output_divisor(gain, peak)
            basses.append(bass)
        return basses[0] if len(basses) == 1 else np.concatenate(basses)

    def encode_mix(self, mix: np.ndarray, gain: np.ndarray | float = 1.0) -> Tensor:
        """Latents `(batch, mix_dims, frames)`, 4096 samples a frame, of mixes times their `gain` `(batch, 1, 1)`."""
        gain = np.broadcast_to(np.float32(gain), (len(mix), 1, 1))
        latents = []
        for start in range(0, len(mix), self._coded_together):
            these, size = slice(start, start + self._coded_together), CHUNK * R_TIME
            blocks = (mix[these, :, at : at + size] * gain[these] for at in range(0, mix.shape[2], size))
            pieces = codec.encode_stream(self.mix_autoencoder, map(torch.from_numpy, blocks))
            latents.append(torch.cat(list(pieces), dim=2))
        return torch.cat(latents)

    def style_mean(self, style: np.ndarray) -> Tensor:
        """Mean over time of the latents of styles `(batch, 2, samples)` times their `style_gain`: `(batch, dims)`."""
        louder = np.asarray(style, np.float32) * style_gain(_rms(style))
        return codec.encode(self.bass_autoencoder, torch.from_numpy(louder)).mean(dim=2)

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
        network = prepared(self.unet, bfloat16=self.bfloat16, compiled=self.compiled)
        unet = windowed(network, sampling.window, overlap=128, batch=self.batch_size)
        # Not in the paper: the order of guidance, rescale and grounding. Grounding comes last, so that the style's mean
        # is neither guided nor rescaled.
        conditional = functools.partial(denoiser, unet, schedule=self.schedule)
        denoise = guided(conditional, mix, sampling.cfg, sampling.phi)
        if style_mean is not None:
            style = style_mean.to(self.device)
            denoise = grounded(
                denoise, style, self.schedule, strength=sampling.grounding, exponent=sampling.grounding_exponent
            )
        noise = noise_for_seeds(seeds, self.unet.config.bass_dims, mix.shape[2]).to(self.device)
        noise = sampling.temperature * noise
        fast = torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else contextlib.nullcontext()
        fresh = {"eta": sampling.eta, "seeds": seeds} if sampling.eta else {}
        sampler, levels = SAMPLERS[sampling.sampler], falling_levels(sampling.steps)
        with fast:
            latent = sampler(denoise, noise, levels, self.schedule, on_step=on_step, **fresh)
        return latent[..., :frames]

    def decode(self, latent: Tensor, samples: int | None = None) -> np.ndarray:
        """Audio `(batch, 2, samples)` of bass latents; `samples` cuts what the padding added."""
        audio = np.empty((len(latent), 2, latent.shape[-1] * R_TIME if samples is None else samples), np.float32)
        for start in range(0, len(latent), self._coded_together):
            these, at = slice(start, start + self._coded_together), 0
            for piece in codec.decode_stream(self.bass_autoencoder, latent[these], samples):
                audio[these, :, at : at + piece.shape[2]] = piece.cpu().numpy()
                at += piece.shape[2]
        return audio

    def through_codec(self, bass: np.ndarray, *, network: bool = True) -> np.ndarray:
        """What the bass autoencoder makes of a bass `(2, samples)`; without `network` its linear path alone.

        Raises:
            BadInputError: there is no such path, or the bass is not stereo, empty, or not an array of finite floats.
        """
        coder = self.bass_autoencoder
        latent = codec.encode(coder, torch.from_numpy(_floats(bass, "bass"))[None])
        return codec.decode(coder, latent, bass.shape[1], network=network)[0].cpu().numpy()


def level_gain(rms: np.ndarray) -> np.ndarray:
    """Factor that brings mixes of the root mean squares `rms` into the range of levels that the model was trained on.

    Not in the paper. The bass is divided by it again, so a quieter mix gets the same bass, as much quieter.
    """
    gain = np.clip(rms, _QUIETEST, _LOUDEST) / np.maximum(rms, 1e-12)
    return np.where(rms < 1e-5, 1.0, gain).astype(np.float32)  # silence stays silence


def style_gain(rms: np.ndarray) -> np.ndarray:
    """Factor that brings style clips of the root mean squares `rms` to the level of the basses of training.

    Not in the paper, whose mean of the latent holds the level of the style clip beside its timbre: a style that was
    recorded softly would make the bass softer.
    """
    gain = _BASS_LEVEL / np.maximum(rms, 1e-12)
    return np.where(rms < 1e-5, 1.0, gain).astype(np.float32)


def output_divisor(gain: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """What decoded basses of these peaks are divided by: the gain of their mixes, or more to stay within full scale."""
    return np.maximum(gain, peak / np.float32(0.999))


def _rms(mix: np.ndarray) -> np.ndarray:
    square = np.stack([sum(float(np.vdot(channel, channel)) for channel in clip) for clip in mix])
    return np.sqrt(square / (mix.shape[1] * mix.shape[2]))[:, None, None]


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


def weights_hash(model: BassAccompaniment) -> str:
    """Eight hexadecimal digits of all weights: results of other weights are other results."""
    return networks_hash(model.mix_autoencoder, model.bass_autoencoder, model.unet)


def networks_hash(*networks: nn.Module) -> str:
    """The same of some networks: what one of them alone decides stays valid when another is trained further."""
    parts: list[bytes | str] = []
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            parts += [name, tensor.detach().cpu().contiguous().numpy().tobytes()]
    return content_hash(*parts)[:8]


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


def _checked(mix: np.ndarray, style: np.ndarray | None, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mix and style as float32."""
    mix = _floats(mix, "mix")
    style = None if style is None else _floats(style, "style")
    if mix.ndim != 3 or mix.shape[1] != 2 or not mix.size:
        raise BadInputError(f"mix must be (batch, 2, samples), got {mix.shape}")
    if len(seeds) != len(mix):
        raise BadInputError(f"{len(mix)} mixes need as many seeds, got {len(seeds)}")
    whole = [isinstance(seed, int | np.integer) and not isinstance(seed, bool) for seed in seeds]
    if not all(whole) or not all(0 <= seed < 2**64 for seed in seeds):
        raise BadInputError(f"a clip's seed is a whole number of 64 bits from 0, got {list(seeds)[:8]}")
    if style is not None and (
        style.ndim != 3 or style.shape[1] != 2 or len(style) not in (1, len(mix)) or not style.size
    ):
        raise BadInputError(f"style must be ({len(mix)} or 1, 2, samples), got {style.shape}")
    return mix, style


def _floats(audio: np.ndarray, what: str) -> np.ndarray:
    """Audio as float32; BadInputError if it is not an array of finite floats."""
    if not isinstance(audio, np.ndarray):
        raise BadInputError(f"{what} must be a NumPy array of floats, got {type(audio).__name__}; use .numpy()")
    if not np.issubdtype(audio.dtype, np.floating):
        raise BadInputError(f"{what} must be floats of full scale 1, got {audio.dtype}; divide by its full scale")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, and is refused
        audio = audio.astype(np.float32, copy=False)
    if not np.isfinite(audio).all():
        raise BadInputError(f"{what} holds NaN or Inf; repair it first")
    return audio
