"""The reference model as a whole: a mix goes in, a bass that fits it comes out.

The chain has three steps, each of which stands here alone:

    mix -> level of training -> encoder    `encode_mix`
    noise -> sampler -> latent             `generate_latents`
    latent -> decoder -> level of the mix, within full scale    `decode`

`BassAccompaniment.accompany` runs it on arrays. What stands between two steps can be kept, so that a mix is encoded
once for many basses, and the first and the last step also go block by block, for files of any length.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import content_hash
from bassbench.errors import BadInputError, check_limits, unknown_name
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec import CHUNK
from reference_model.conditions import PLANES, Conditions
from reference_model.diffusion import Schedule, cosine, denoiser, falling_levels
from reference_model.grounding import grounded
from reference_model.guidance import guided, guided_twice
from reference_model.inference import prepared, windowed
from reference_model.presets import R_TIME
from reference_model.sampler import SAMPLERS, noise_for_seeds
from reference_model.unet import UNet

OnStep = Callable[[int], None]

# Level of the training mixes, root mean square below full scale. A mix outside is brought to the nearer end.
_QUIETEST, _LOUDEST = 10 ** (-26 / 20), 10 ** (-17 / 20)
# Median level of the training basses (16 renderings; four in five lie within 3 dB of it).
_BASS_LEVEL = 10 ** (-22 / 20)
_PEAK = np.float32(0.999)
"""Peak that no bass exceeds."""


@dataclass(frozen=True)
class Sampling:
    """How a bass is drawn from the model."""

    steps: int = 64
    """DDIM steps (K)."""
    cfg: float = 2.0
    """Guidance weight w: 1 is the plain conditional model, 0 the unconditional one."""
    phi: float = 0.5
    """Rescale of the guided estimate, 0 (none) to 1."""
    notes_weight: float = 2.0
    """Guidance weight of what is asked for beside the mix (`conditions.Conditions`): 0 does not follow it."""
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
class EncodedMix:
    """Mixes as the model sees them: all that it needs for any number of basses."""

    latent: Tensor
    """`(batch, mix_dims, frames)`, 4096 samples a frame, of the mixes times their gain."""
    gain: np.ndarray
    """`mix_gain` of the mixes, `(batch, 1, 1)`; what is decoded is divided by it."""
    samples: int
    """Length of the mixes and so of the basses."""

    @classmethod
    def joined(cls, parts: Sequence["EncodedMix"]) -> "EncodedMix":
        """One batch of several, all of one length."""
        latent, gain = torch.cat([part.latent for part in parts]), np.concatenate([part.gain for part in parts])
        return cls(latent, gain, parts[0].samples)

    def __getitem__(self, clips: slice | Sequence[int]) -> "EncodedMix":
        """The mixes of some places in the batch."""
        return EncodedMix(self.latent[clips], self.gain[clips], self.samples)


class Basses(NamedTuple):
    """What was decoded for a batch of mixes."""

    audio: np.ndarray
    """`(batch, 2, samples)`, float32, within full scale."""
    excess: np.ndarray
    """`(batch,)`: by what factor each bass was turned down to stay within full scale; 1 where it was not."""


@dataclass(frozen=True)
class BassAccompaniment:
    """Two autoencoders and a U-Net; an `Accompanist` for the suite."""

    mix_autoencoder: Autoencoder
    bass_autoencoder: Autoencoder
    unet: UNet
    sampling: Sampling = Sampling()
    name: str = "reference model"
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
    def version(self) -> str:
        """Hash of all weights, eight hexadecimal digits: results of other weights are other results."""
        return networks_hash(self.mix_autoencoder, self.bass_autoencoder, self.unet)

    @property
    def codec_key(self) -> str:
        """Hash of all that `codec` depends on."""
        tensors = self.bass_autoencoder.state_dict()
        return content_hash(*(tensors[name].cpu().numpy().tobytes() for name in sorted(tensors)))

    def accompany(
        self,
        mix: np.ndarray,
        *,
        style: np.ndarray | None = None,
        seeds: Sequence[int],
        conditions: Conditions | Sequence[Conditions] | None = None,
        sampling: Sampling | None = None,
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes `(batch, 2, samples)`, float32 at 44.1 kHz, within full scale.

        `style` `(batch or 1, 2, any samples)` gives the timbre, whatever its level. `conditions` are notes, chords and
        rhythm to play, the same for all or one for each. Each clip has its seed and depends on no other clip.

        Raises:
            BadInputError: shapes that do not fit together, what is not an array of finite floats, or conditions that do
                not fit the mix or that these weights do not know.
        """
        mix, style = _checked(mix, style, seeds)
        if conditions is not None and not isinstance(conditions, Conditions) and len(conditions) != len(mix):
            raise BadInputError(f"{len(mix)} mixes need one set of conditions or as many, got {len(conditions)}")
        basses = []
        for start in range(0, len(mix), self.batch_size):
            these = slice(start, start + self.batch_size)
            encoded = self.encode_mix(mix[these])
            style_mean = None
            if style is not None:
                style_mean = self.style_mean(style if len(style) == 1 else style[these])
            notes = None
            if conditions is not None:
                own = conditions if isinstance(conditions, Conditions) else conditions[these]
                notes = self.note_planes(own, mix.shape[2])
            latent = self.generate_latents(
                encoded.latent,
                seeds=seeds[these],
                style_mean=style_mean,
                notes=notes,
                sampling=sampling,
                on_step=on_step,
            )
            basses.append(self.decode(latent, encoded).audio)
        return basses[0] if len(basses) == 1 else np.concatenate(basses)

    # Mix and style -> what the U-Net and the sampler are given

    def encode_mix(self, mix: np.ndarray) -> EncodedMix:
        """Mixes `(batch, 2, samples)`, float32, at the level of training and encoded."""
        groups = [mix[these] for these in self._groups(len(mix))]
        return EncodedMix.joined([self.encode_mix_stream(_blocks(one), _rms(one), one.shape[2]) for one in groups])

    def encode_mix_stream(self, blocks: Iterable[np.ndarray], rms: np.ndarray, samples: int) -> EncodedMix:
        """The same of mixes in blocks `(batch, 2, some)`, whose root mean square `(batch, 1, 1)` is known."""
        gain = mix_gain(rms)
        return EncodedMix(_encoded(self.mix_autoencoder, blocks, gain), gain, samples)

    def style_mean(self, style: np.ndarray) -> Tensor:
        """Mean over time `(batch, dims)` of the latents of styles `(batch, 2, samples)` at the level of training."""
        return self.style_mean_stream(_blocks(np.asarray(style, np.float32)), _rms(style))

    def style_mean_stream(self, blocks: Iterable[np.ndarray], rms: np.ndarray) -> Tensor:
        """The same of styles in blocks `(batch, 2, some)`, whose root mean square `(batch, 1, 1)` is known."""
        return _encoded(self.bass_autoencoder, blocks, style_gain(rms)).mean(dim=2)

    def refuse_without_notes(self) -> None:
        """Raise BadInputError if these weights cannot be asked for notes."""
        if (found := self.unet.config.note_planes) != PLANES:
            trained = f"with {found} planes of notes, not {PLANES}" if found else "without notes"
            raise BadInputError(
                f"these weights were trained {trained}: ask for no notes, chords or rhythm, or use weights made by "
                "python -m reference_model.train_diffusion --notes"
            )

    def note_planes(self, conditions: Conditions | Sequence[Conditions], samples: int) -> Tensor:
        """Planes `(1 or batch, PLANES, frames)` of what is asked for, for mixes of that length.

        Raises:
            BadInputError: these weights know no notes, or what is asked for does not fit the mix.
        """
        self.refuse_without_notes()
        each = [conditions] if isinstance(conditions, Conditions) else conditions
        for one in each:
            one.check(samples / SAMPLE_RATE)
        return torch.from_numpy(np.stack([one.planes(-(-samples // R_TIME)) for one in each]))

    # Noise -> latent

    @torch.inference_mode()
    def generate_latents(
        self,
        mix: Tensor,
        *,
        seeds: Sequence[int],
        style_mean: Tensor | None = None,
        notes: Tensor | None = None,
        sampling: Sampling | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Bass latents `(batch, bass_dims, frames)` for mix latents `(batch, mix_dims, frames)`.

        `notes` are `note_planes` for these mixes. Unconditional samples: zeros for `mix`, cfg 0.
        """
        sampling = sampling or self.sampling
        frames = mix.shape[2]
        # Whole frames at the coarsest resolution: what the U-Net would repeat at the end is drawn like the rest.
        missing = (0, -frames % self.unet.config.stride)
        mix = F.pad(mix.to(self.device), missing, mode="replicate")
        network = prepared(self.unet, bfloat16=self.bfloat16, compiled=self.compiled)
        unet = windowed(network, sampling.window, overlap=128, batch=self.batch_size)
        # Not in the paper: the order of guidance, rescale and grounding. Grounding comes last, so that the style's mean
        # is neither guided nor rescaled.
        conditional = functools.partial(denoiser, unet, schedule=self.schedule)
        if notes is None or not notes.any():
            denoise = guided(conditional, mix, sampling.cfg, sampling.phi)
        else:
            notes = F.pad(notes.to(mix).expand(len(mix), -1, -1), missing, mode="replicate")
            alone, both = (torch.cat([mix, asked], dim=1) for asked in (torch.zeros_like(notes), notes))
            denoise = guided_twice(conditional, alone, both, sampling.cfg, sampling.notes_weight, sampling.phi)
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

    # Latent -> bass

    def decode(self, latent: Tensor, mix: EncodedMix) -> Basses:
        """The basses of latents `(batch, bass_dims, frames)` for these mixes, as loud as they ask for.

        A bass that would exceed full scale is turned down as a whole.
        """
        audio, excess = np.empty((len(latent), 2, mix.samples), np.float32), []
        for these in self._groups(len(latent)):
            limiter, at = Limiter(mix.gain[these]), 0
            for piece in self.decode_stream(latent[these], mix.samples, limiter):
                audio[these, :, at : at + piece.shape[2]] = piece
                at += piece.shape[2]
            audio[these] /= limiter.divisor
            excess.append(limiter.excess)
        return Basses(audio, np.concatenate(excess))

    def decode_stream(self, latent: Tensor, samples: int, limiter: "Limiter") -> Iterator[np.ndarray]:
        """Pieces `(batch, 2, some)`, `samples` in all, that become the basses once divided by `limiter.divisor`.

        The divisor is known after the last piece.
        """
        for piece in codec.decode_stream(self.bass_autoencoder, latent, samples):
            audio = piece.cpu().numpy()
            limiter.see(audio)
            yield audio

    def codec(self, bass: np.ndarray, *, network: bool = True) -> np.ndarray:
        """What the bass autoencoder makes of a bass `(2, samples)`; without `network` its linear path alone.

        Raises:
            BadInputError: there is no such path, or the bass is not stereo, empty, or not an array of finite floats.
        """
        coder = self.bass_autoencoder
        latent = codec.encode(coder, torch.from_numpy(_floats(bass, "bass"))[None])
        return codec.decode(coder, latent, bass.shape[1], network=network)[0].cpu().numpy()

    def _groups(self, clips: int) -> Iterator[slice]:
        # Spectra of long clips are large: on a CPU one clip at a time halves the time that a batch of them takes.
        size = 1 if self.device.type == "cpu" else 4
        return (slice(start, start + size) for start in range(0, clips, size))


class Limiter:
    """What decoded basses are divided by: the gain of their mixes, or more to stay within full scale."""

    def __init__(self, gain: np.ndarray) -> None:
        """Of mixes of this gain `(batch, 1, 1)`."""
        self.gain = gain
        self.peak = np.zeros_like(gain)

    def see(self, piece: np.ndarray) -> None:
        """Take a piece `(batch, 2, some)` of the decoded basses into account."""
        highest, lowest = piece.max(axis=(1, 2), keepdims=True), piece.min(axis=(1, 2), keepdims=True)
        self.peak = np.maximum(self.peak, np.maximum(highest, -lowest))

    @property
    def divisor(self) -> np.ndarray:
        """`(batch, 1, 1)`."""
        return np.maximum(self.gain, self.peak / _PEAK)

    @property
    def excess(self) -> np.ndarray:
        """By how much more than the gain each bass is divided, `(batch,)`."""
        return (self.divisor / self.gain)[:, 0, 0]


def mix_gain(rms: np.ndarray) -> np.ndarray:
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


def networks_hash(*networks: nn.Module) -> str:
    """Hash of some networks' weights: what they alone decide stays valid when others are trained further."""
    parts: list[bytes | str] = []
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            parts += [name, tensor.detach().cpu().contiguous().numpy().tobytes()]
    return content_hash(*parts)[:8]


def _rms(audio: np.ndarray) -> np.ndarray:
    square = np.stack([sum(float(np.vdot(channel, channel)) for channel in clip) for clip in audio])
    return np.sqrt(square / (audio.shape[1] * audio.shape[2]))[:, None, None]


def _blocks(audio: np.ndarray) -> Iterator[np.ndarray]:
    size = CHUNK * R_TIME
    return (audio[:, :, at : at + size] for at in range(0, audio.shape[2], size))


def _encoded(autoencoder: Autoencoder, blocks: Iterable[np.ndarray], gain: np.ndarray) -> Tensor:
    """Latents `(batch, dims, frames)` of blocks `(batch, 2, some)` times `gain` `(batch, 1, 1)`."""
    levelled = (torch.from_numpy(block * gain) for block in blocks)
    return torch.cat(list(codec.encode_stream(autoencoder, levelled)), dim=2)


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
