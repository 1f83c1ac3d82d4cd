"""Spectrogram autoencoder (paper, section 2.1): stereo audio to a short sequence of latents and back.

The public surface is two verbs, `encode` and `decode`, for audio of any length; `encode_stream` and `decode_stream`
do the same a chunk at a time, in bounded memory.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bassbench.bad_input import BadInputError
from bassbench.pretrained import load_pretrained
from bassbench.runs import save_tensors
from reference_model.analysis import analyse
from reference_model.blocks import Decoder, Encoder
from reference_model.config import R_TIME, SAMPLE_RATE, AutoencoderConfig
from reference_model.harmony import REACH, harmony
from reference_model.linear_path import LinearPath, stacked, unstacked
from reference_model.phase import unit
from reference_model.sides import level_differences
from reference_model.stft import istft, magnitude, stft
from reference_model.synthesis import synthesise

CHUNK = 512
"""Latent frames encoded or decoded at a time (47 s): it changes the memory needed, not the result."""
_LOUDEST = 2.0
"""Upper bound of decoded log magnitudes (a sine at full scale has 0)."""


@dataclass(frozen=True)
class Spectrum:
    """What the decoder predicts.

    `log_magnitude` `(batch, 2, frames, bins)`: log(|S| + floor) of mid and side.  `cosine` and `sine` `(batch, phasors,
    frames, bins)`: of the mid's phase and of the side's relative to the mid's, so that whatever happens to the mid's
    phase leaves the stereo image where it is.  With `integrate_phase` the network gives three phasors: the mid's phase
    steps in time and over frequency (see `phase.phase_losses`) and the side's relative phase.
    """

    log_magnitude: Tensor
    cosine: Tensor
    sine: Tensor


class Autoencoder(nn.Module):
    """Encoder and decoder of one kind of audio; the latents it hands around are standardised per dimension.

    Stereo as mid (L + R) / 2 and side (L - R) / 2.  # Not in the paper: how stereo is represented.
    """

    feature_mean: Tensor
    feature_weight: Tensor
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.network_dtype: torch.dtype | None = None
        """Type the convolutions compute in, for training; None: float32."""
        features = 2 * config.stack * config.network_bins
        self.phasors = 3 if config.integrate_phase else 2
        self.planes = 2 + 2 * self.phasors
        """What the decoder network gives for each bin: log magnitudes of mid and side, phasors of two numbers."""
        self.linear = LinearPath(config) if config.linear_path else None
        self.encoder = Encoder(features, config.encoder, config.dims) if config.encoder else None
        # Phases that are zero have no gradient, unless they are steps of the phase: only magnitudes start at zero then.
        zeros = features // 2 * (self.planes if config.integrate_phase else 2) if config.linear_path else 0
        self.decoder = Decoder(config.dims, config.decoder, features // 2 * self.planes, zeros=zeros)
        if self.encoder is not None and config.linear_path:
            output = self.encoder.layers[-1]
            assert isinstance(output, nn.Conv2d) and output.bias is not None
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        middle = torch.tensor(config.floor).log() / 2
        self.register_buffer("feature_mean", middle * torch.ones(2, config.bins))
        self.register_buffer("latent_mean", torch.zeros(config.dims))
        self.register_buffer("latent_std", torch.ones(config.dims))
        self.register_buffer("feature_weight", feature_weight(config), persistent=False)

    # Audio to latents

    def log_magnitude(self, audio: Tensor) -> Tensor:
        """`(batch, 2, samples)` to log(|S| + floor) of mid and side, `(batch, 2, frames, bins)`."""
        return (magnitude(self.spectrum(audio)) + self.config.floor).log()

    def spectrum(self, audio: Tensor) -> Tensor:
        """Complex STFT of mid and side, `(batch, 2, frames, bins)`."""
        return stft(self.mid_side(audio), self.config.window, self.config.hop)

    @staticmethod
    def mid_side(audio: Tensor) -> Tensor:
        """Left and right to (L + R) / 2 and (L - R) / 2, `(batch, 2, samples)`."""
        left, right = audio.float().unbind(1)
        return torch.stack([(left + right) / 2, (left - right) / 2], dim=1)

    def features(self, log_magnitude: Tensor, stack: int) -> Tensor:
        """Centred, weighted, stacked: `(batch, frames / stack, 2 * stack * network_bins)`; higher bins are not read."""
        bins = self.config.network_bins
        centred = (log_magnitude[..., :bins] - self.feature_mean[:, None, :bins]) * self.feature_weight[:, None]
        return stacked(centred, stack)

    def heard(self, audio: Tensor) -> Tensor | None:
        """Chroma and sides of audio `(batch, 2, samples)`, `(batch, latent frames, dims)`; None without such dims."""
        parts = [harmony(audio).chroma] if self.config.chroma_dims else []
        parts += [level_differences(audio, self.config.side_dims)] if self.config.side_dims else []
        return torch.cat(parts, dim=-1) if parts else None

    def latent(self, log_magnitude: Tensor, heard: Tensor | None = None) -> Tensor:
        """`(batch, 2, frames, bins)`, and what `heard` gives of it, to `(batch, latent frames, dims)`.

        Not standardised.
        """
        paths = []
        if self.linear is not None:
            features = self.features(log_magnitude, self.config.frames_per_latent)
            paths.append(self.linear.encode(features, heard))
        if self.encoder is not None:
            paths.append(self.run(self.encoder, self.features(log_magnitude, self.config.stack)))
        return torch.stack(paths).sum(0)

    def encode(self, audio: Tensor, *, chunk: int = CHUNK) -> Tensor:
        """Standardised latents `(batch, dims, ceil(samples / 4096))` of audio `(batch, 2, samples)`.

        Latent frame i is centred on the samples from 4096 i to 4096 (i + 1).  Raises BadInputError for another
        number of channels or no samples.
        """
        return torch.cat(list(self.encode_stream(audio.split(chunk * R_TIME, dim=-1), chunk=chunk)), dim=2)

    @torch.no_grad()
    def encode_stream(self, blocks: Iterable[Tensor], *, chunk: int = CHUNK) -> Iterator[Tensor]:
        """The latents of `encode`, `chunk` frames at a time, of audio that comes in blocks of any lengths."""
        reach, start, first = self._encoder_reach, 0, 0  # next latent frame, and where the audio held begins
        held: Tensor | None = None
        for block in itertools.chain(blocks, [None]):
            if block is not None:
                if block.ndim != 3 or block.shape[1] != 2:
                    raise BadInputError(f"audio must be (batch, 2, samples >= 1), got {tuple(block.shape)}")
                block = block.to(self.feature_mean.device)
                held = block if held is None else torch.cat([held, block], dim=-1)
            if held is None or (block is None and not start and not held.shape[-1]):
                raise BadInputError("audio must be (batch, 2, samples >= 1), got no samples")
            there = first + (-(-held.shape[-1] // R_TIME) if block is None else held.shape[-1] // R_TIME)
            while start + chunk + reach <= there or (block is None and start < there):
                low, stop = max(start - reach, 0), min(start + chunk, there)
                high = min(stop + reach, there)
                piece = held[..., (low - first) * R_TIME : (high - first) * R_TIME]
                piece = nn.functional.pad(piece, (0, (high - low) * R_TIME - piece.shape[-1]))
                latent = analyse(self, piece)[:, start - low : stop - low]
                yield ((latent - self.latent_mean) / self.latent_std).transpose(1, 2).contiguous()
                start = stop
            done = max(start - reach, 0)
            held, first = held[..., (done - first) * R_TIME :], done

    # Latents to audio

    def decoded(self, latent: Tensor) -> Spectrum:
        """Spectrum below `top_hz` of latents `(batch, latent frames, dims)`, not standardised."""
        planes = unstacked(self.run(self.decoder, latent), self.planes, self.config.stack)
        residual, cosine, sine = planes.split((2, self.phasors, self.phasors), dim=1)
        log_magnitude = residual + self.linear_log_magnitude(latent, slice(None, self.config.network_bins))
        return Spectrum(log_magnitude, *unit(cosine, sine))

    def linear_log_magnitude(self, latent: Tensor, bins: slice) -> Tensor:
        """What the linear path gives of latents `(batch, latent frames, dims)`; the mean if there is none."""
        mean = self.feature_mean[:, None, bins]
        if self.linear is None:
            frames = latent.shape[1] * self.config.frames_per_latent
            return mean.expand(latent.shape[0], -1, frames, -1)
        return mean + unstacked(self.linear.decode(latent, bins), 2, self.config.frames_per_latent)

    def magnitude(self, log_magnitude: Tensor) -> Tensor:
        """Inverse of the logarithm of `log_magnitude`, never negative."""
        return (log_magnitude.clamp(max=_LOUDEST).exp() - self.config.floor).clamp(min=0.0)

    def complex_spectrum(self, spectrum: Spectrum) -> Tensor:
        """Complex mid and side `(batch, 2, frames, bins)` of magnitudes and two phasors."""
        magnitude = self.magnitude(spectrum.log_magnitude)
        (cosine, relative_cosine), (sine, relative_sine) = spectrum.cosine.unbind(1), spectrum.sine.unbind(1)
        side_cosine = cosine * relative_cosine - sine * relative_sine
        side_sine = sine * relative_cosine + cosine * relative_sine
        real, imaginary = torch.stack([cosine, side_cosine], 1), torch.stack([sine, side_sine], 1)
        return torch.complex(magnitude * real, magnitude * imaginary)

    def waveform(self, spectrum: Tensor) -> Tensor:
        """Left and right `(batch, 2, samples)` of complex mid and side `(batch, 2, frames, bins)`."""
        mid, side = istft(spectrum, self.config.window, self.config.hop).unbind(1)
        return torch.stack([mid + side, mid - side], dim=1)

    def decode(self, latent: Tensor, samples: int | None = None, *, network: bool = True, chunk: int = CHUNK) -> Tensor:
        """Audio `(batch, 2, samples)` of standardised latents `(batch, dims, frames)`.

        `samples` defaults to all 4096 of every frame.  Without `network` it is that of the linear path alone.  Raises
        BadInputError for latents of another size, and without `network` for an autoencoder that is nothing without.
        """
        return torch.cat(list(self.decode_stream(latent, samples, network=network, chunk=chunk)), dim=-1)

    @torch.no_grad()
    def decode_stream(
        self, latent: Tensor, samples: int | None = None, *, network: bool = True, chunk: int = CHUNK
    ) -> Iterator[Tensor]:
        """The audio of `decode` in pieces; the network runs on `chunk` latent frames at a time."""
        config = self.config
        if latent.ndim != 3 or latent.shape[1] != config.dims or not latent.shape[2]:
            raise BadInputError(f"latents must be (batch, {config.dims}, frames >= 1), got {tuple(latent.shape)}")
        count = latent.shape[2]
        if not network and (self.linear is None or not config.integrate_phase):
            raise BadInputError("this autoencoder has no linear path with integrated phase; decode with the network")
        samples = count * R_TIME if samples is None else samples
        if not 0 < samples <= count * R_TIME:
            raise BadInputError(f"{count} latent frames decode to at most {count * R_TIME} samples, not {samples}")
        frames = latent.to(self.latent_std).transpose(1, 2) * self.latent_std + self.latent_mean
        yield from synthesise(self, frames, samples, chunk=chunk, network=network)

    def run(self, network: nn.Module, sequence: Tensor) -> Tensor:
        """A network's output in float32, computed in `network_dtype`."""
        reduced = self.network_dtype is not None
        with torch.autocast(sequence.device.type, dtype=self.network_dtype, enabled=reduced):
            return network(sequence).float()

    @property
    def _encoder_reach(self) -> int:
        """Latent frames on either side that a latent can depend on, the STFT's window included."""
        network = self.encoder.reach if self.encoder is not None else 0
        frames = network * self.config.stack + self.config.window // self.config.hop
        spectrum = -(-frames // self.config.frames_per_latent)
        return max(spectrum, REACH) if self.config.chroma_dims else spectrum

    # Weights on disk

    def save_pretrained(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the weights, whole or not at all, with the configuration in the header.

        Matrices in `dtype`; statistics (means, deviations, gains, biases) stay float32.  Raises BadInputError if the
        file cannot be written.
        """
        tensors = {
            name: tensor.to(dtype if tensor.ndim > 1 and name != "feature_mean" else torch.float32)
            for name, tensor in self.state_dict().items()
        }
        save_tensors(path, tensors, {"kind": "autoencoder", "config": self.config.to_dict()})

    @classmethod
    def from_pretrained(cls, path: str | Path, device: torch.device | str = "cpu") -> "Autoencoder":
        """Read what `save_pretrained` wrote, frozen and in evaluation mode.

        Raises BadInputError if the file is missing, damaged, or holds something else.
        """
        return load_pretrained(path, "autoencoder", lambda config: cls(AutoencoderConfig.from_dict(config)), device)


def feature_weight(config: AutoencoderConfig) -> Tensor:
    """Weight of each feature, `(2, network_bins)`: bass range first, side below mid."""
    frequency = torch.arange(config.network_bins) * (SAMPLE_RATE / config.window)
    corner = config.weight_corner_hz
    weight = 1 / (1 + frequency / corner) if corner else torch.ones_like(frequency)
    return torch.stack([weight, config.side_weight * weight])
