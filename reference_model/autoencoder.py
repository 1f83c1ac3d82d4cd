"""Spectrogram autoencoder (paper, section 3.1): stereo audio to a short sequence of latents and back.

Spectrogram, encoder, decoder, magnitude and phase, inverse STFT: plain and, but for the integration of the phase,
differentiable. `reference_model.codec` does the same for audio of any length, in bounded memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bassbench.audio import SAMPLE_RATE
from bassbench.training.checkpoint import save_tensors
from bassbench.training.pretrained import load_pretrained
from reference_model.blocks import Decoder, Encoder
from reference_model.harmony import harmony
from reference_model.linear_path import LinearPath, least_squares, principal_components, stacked, unstacked
from reference_model.phase import integrated, noise_phase, unit
from reference_model.presets import R_TIME, AutoencoderConfig
from reference_model.sides import level_differences
from reference_model.stft import istft, magnitude, stft

_LOUDEST = 2.0
"""Upper bound of decoded log magnitudes (a sine at full scale has 0)."""


@dataclass(frozen=True)
class Spectrum:
    """What the decoder predicts.

    `log_magnitude` `(batch, 2, frames, bins)`: log(|S| + floor) of mid and side.  `cosine` and `sine` `(batch, phasors,
    frames, bins)`: of the mid's phase and of the side's relative to the mid's, so that whatever happens to the mid's
    phase leaves the stereo image where it is.  With `integrate_phase` the network gives three phasors: the mid's phase
    steps in time and over frequency (see `losses.phase_losses`) and the side's relative phase.
    """

    log_magnitude: Tensor
    cosine: Tensor
    sine: Tensor


class Autoencoder(nn.Module):
    """Encoder and decoder of one kind of audio; the latents it hands around are standardised per dimension.

    The linear path's are by its fit, those of an encoder network once `standardise` has seen what it gives.

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

    # Spectrogram

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

    # Encoder

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

    def encode(self, audio: Tensor) -> Tensor:
        """Standardised latents `(batch, dims, ceil(samples / 4096))` of audio `(batch, 2, samples)`.

        Latent frame i is centred on the samples from 4096 i to 4096 (i + 1).
        """
        whole = nn.functional.pad(audio, (0, -audio.shape[-1] % R_TIME))
        return self.standardised(self.latent(self.log_magnitude(whole), self.heard(whole)))

    def standardised(self, latent: Tensor) -> Tensor:
        """Latents `(batch, frames, dims)` as they are handed around, `(batch, dims, frames)`: deviation 1, mean 0."""
        return ((latent - self.latent_mean) / self.latent_std).transpose(1, 2)

    def unstandardised(self, latent: Tensor) -> Tensor:
        """Inverse of `standardised`."""
        return latent.transpose(1, 2) * self.latent_std + self.latent_mean

    # Decoder: magnitude and phase

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

    # Waveform: inverse STFT

    def waveform(self, spectrum: Tensor) -> Tensor:
        """Left and right `(batch, 2, samples)` of complex mid and side `(batch, 2, frames, bins)`."""
        return self.left_right(istft(spectrum, self.config.window, self.config.hop))

    @staticmethod
    def left_right(mid_side: Tensor) -> Tensor:
        """Inverse of `mid_side`."""
        mid, side = mid_side.unbind(1)
        return torch.stack([mid + side, mid - side], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        """Audio `(batch, 2, 4096 frames)` of standardised latents `(batch, dims, frames)`."""
        bins = self.config.network_bins
        frames = self.unstandardised(latent)
        below = self.decoded(frames)
        # Above the network's bins the linear path has magnitudes and nothing has a phase.
        shape = (2, self.config.frames_per_latent, self.config.bins)
        noise = noise_phase(0, latent.shape[2], shape, latent.device).transpose(0, 1).flatten(1, 2)
        if self.config.integrate_phase:
            below = self.with_integrated_phase(below, noise[0, :, :bins])
        size = self.magnitude(self.linear_log_magnitude(frames, slice(bins, None)))
        above = torch.polar(size, noise[..., bins:].expand_as(size))
        return self.waveform(torch.cat([self.complex_spectrum(below), above], dim=-1))

    # Not in the paper: the phase from its steps.

    def with_integrated_phase(self, spectrum: Spectrum, initial: Tensor) -> Spectrum:
        """The mid's phase in place of its steps; `initial` `(frames, bins)` is that of what nothing determines.

        Without gradients.
        """
        advance, delay = torch.atan2(spectrum.sine[:, :2], spectrum.cosine[:, :2]).unbind(1)
        size = self.magnitude(spectrum.log_magnitude[:, 0])
        phase, _ = integrated(size, advance, delay, initial, overlap=self.config.window // self.config.hop)
        cosine, sine = (
            torch.stack([mid, relative[:, 2]], dim=1)
            for mid, relative in ((phase.cos(), spectrum.cosine), (phase.sin(), spectrum.sine))
        )
        return Spectrum(spectrum.log_magnitude, cosine, sine)

    # Not in the paper: what the linear path and the latents' statistics hold.

    @torch.no_grad()
    def fit_linear_path(self, audio: Callable[[], Iterator[Tensor]]) -> None:
        """Fit mean, components and readout of the linear path in place, in three passes over the same audio.

        `audio()` starts a new pass and yields `(batch, 2, samples)`.  Afterwards the linear path's latents have mean 0
        and deviation 1 on that audio.
        """
        linear, stack = self.linear, self.config.frames_per_latent
        if linear is None:
            raise ValueError("this configuration has no linear path to fit")
        count, total = 0, torch.zeros_like(self.feature_mean)
        for batch in audio():
            log_magnitude = self.log_magnitude(batch)
            total += log_magnitude.sum((0, 2))
            count += log_magnitude.shape[0] * log_magnitude.shape[2]
        self.feature_mean.copy_(total / max(count, 1))
        features = (self.features(self.log_magnitude(batch), stack).flatten(0, 1) for batch in audio())
        components, deviations = principal_components(features, self.config.components)
        linear.components.copy_(components)
        linear.score_std[: self.config.components].copy_(deviations / self.config.component_deviation)
        if self.config.components < self.config.dims:
            heard = torch.cat([heard.flatten(0, 1) for batch in audio() if (heard := self.heard(batch)) is not None])
            linear.heard_mean.copy_(heard.mean(0))
            linear.score_std[self.config.components :].copy_(heard.std(0).clamp(min=1e-6))
        linear.readout.copy_(least_squares(self._scores_and_targets(linear, audio())))

    def _scores_and_targets(self, linear: LinearPath, audio: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        stack = self.config.frames_per_latent
        for batch in audio:
            log_magnitude = self.log_magnitude(batch)
            scores = linear.encode(self.features(log_magnitude, stack), self.heard(batch))
            targets = stacked(log_magnitude - self.feature_mean[:, None], stack)
            yield scores.flatten(0, 1), targets.flatten(0, 1)

    @torch.no_grad()
    def standardise(self, audio: Iterable[Tensor]) -> None:
        """Set `latent_mean` and `latent_std`, so that the latents of batches `(batch, 2, samples)` have mean 0 and
        deviation 1 in every dimension: one pass, to be made whenever the encoder has been trained.

        Raises:
            ValueError: there are no latents.
        """
        count, total = 0, torch.zeros_like(self.latent_mean, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for batch in audio:
            batch = batch.to(self.latent_mean.device)
            latent = self.latent(self.log_magnitude(batch), self.heard(batch)).flatten(0, 1).double()
            count, total, squares = count + len(latent), total + latent.sum(0), squares + latent.square().sum(0)
        if not count:
            raise ValueError("standardising needs some audio")
        mean = total / count
        self.latent_mean.copy_(mean)
        self.latent_std.copy_((squares / count - mean.square()).clamp(min=1e-12).sqrt())

    # Precision in training

    def run(self, network: nn.Module, sequence: Tensor) -> Tensor:
        """A network's output in float32, computed in `network_dtype`."""
        reduced = self.network_dtype is not None
        with torch.autocast(sequence.device.type, dtype=self.network_dtype, enabled=reduced):
            return network(sequence).float()

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
