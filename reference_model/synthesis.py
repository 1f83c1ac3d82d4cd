"""Latents to audio without gradients, in slices whose spectra stay in a processor's cache.

The same arithmetic as `Autoencoder.decoded`, `complex_spectrum` and `waveform`, which training uses: tensors of large
spectra cost more time for their memory than for what is computed. Every STFT frame is made once, in order of time.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reference_model.linear_path import unstacked
from reference_model.phase import neutral_advance, noise_phase, unit
from reference_model.phase_integration import integrate, steps_from_magnitude
from reference_model.stft import StreamingInverse

if TYPE_CHECKING:
    from reference_model.autoencoder import Autoencoder

SLICE = 16
"""Latent frames at a time on a CPU: some megabytes of spectrum."""
BLOCK = 4 * SLICE
"""Latent frames at a time for the network's last layer, whose weights are larger still."""


@dataclass(frozen=True)
class Carry:
    """Magnitude and phase of the mid `(batch, bins)` in the last STFT frame of a slice."""

    magnitude: np.ndarray
    phase: np.ndarray


@torch.no_grad()
def synthesise(
    model: "Autoencoder", latent: Tensor, samples: int, *, chunk: int, network: bool = True
) -> Iterator[Tensor]:
    """Audio `(batch, 2, some)`, `samples` in all, of latents `(batch, frames, dims)`, not standardised.

    The network runs on `chunk` latent frames at a time, the spectra on `SLICE` of them (on a GPU, on all).
    """
    config = model.config
    block, size = (BLOCK, SLICE) if latent.device.type == "cpu" else (chunk, chunk)
    inverse = StreamingInverse(config.window, config.hop)
    carry, given, planes = None, 0, None
    for start, stop in _pieces(0, latent.shape[1], chunk):
        hidden = _hidden(model, latent, start, stop) if network else None
        for first, last in _pieces(start, stop, block):
            if hidden is not None:
                planes = model.decoder.planes(hidden[:, _rows(hidden, stop - start, first - start, last - start)])
            for low, high in _pieces(first, last, size):
                here = None if planes is None else planes[:, _rows(planes, last - first, low - first, high - first)]
                spectrum, carry = _spectrum(model, latent, here, low, high, carry)
                audio = _left_and_right(inverse.add(spectrum))[..., : samples - given]
                given += audio.shape[-1]
                if audio.shape[-1]:
                    yield audio
                if given == samples:
                    return
    yield _left_and_right(inverse.rest())[..., : samples - given]


def _pieces(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of `size` from `start` to `stop` begin and end."""
    return ((low, min(low + size, stop)) for low in range(start, stop, size))


def _hidden(model: "Autoencoder", latent: Tensor, start: int, stop: int) -> Tensor:
    """What the decoder network's last layer sees of latent frames `start` to `stop`, `(batch, rows, width)`."""
    reach = model.decoder.reach
    first, last = max(start - reach, 0), min(stop + reach, latent.shape[1])
    hidden = model.decoder.hidden(latent[:, first:last])
    return hidden[:, _rows(hidden, last - first, start - first, stop - first)]


def _rows(hidden: Tensor, frames: int, low: int, high: int) -> slice:
    """Rows of latent frames `low` to `high` in something that holds `frames` of them."""
    each = hidden.shape[1] // frames
    return slice(low * each, high * each)


def _spectrum(
    model: "Autoencoder", latent: Tensor, planes: Tensor | None, low: int, high: int, carry: Carry | None
) -> tuple[Tensor, Carry | None]:
    """Complex mid and side `(batch, 2, STFT frames, bins)` of latent frames `low` to `high`."""
    config, piece = model.config, latent[:, low:high]
    bins = config.network_bins
    size = model.linear_log_magnitude(piece, slice(None)).contiguous()
    initial, above = _noise(low, high - low, (2, config.frames_per_latent, config.bins), bins, piece.device)
    spectrum = torch.empty(size.shape, dtype=torch.complex64, device=piece.device)
    parts = torch.view_as_real(spectrum)
    if planes is not None:
        apart = unstacked(planes, model.planes, config.stack)
        residual, cosine, sine = apart.split((2, model.phasors, model.phasors), dim=1)
        size[..., :bins] += residual
        steps = [torch.atan2(sine[:, i], cosine[:, i]) for i in range(2)] if config.integrate_phase else []
        relative = unit(cosine[:, -1], sine[:, -1])
    else:
        steps = _linear_steps(model, latent, low, high)
        relative = torch.ones_like(size[:, 0, :, :bins]), torch.zeros_like(size[:, 0, :, :bins])
    size = model.magnitude(size)
    if steps:
        phase, carry = _integrated(model, size[:, 0, :, :bins], steps[0], steps[1], initial, carry)
        mid = phase.cos(), phase.sin()
    else:
        mid = unit(cosine[:, 0], sine[:, 0])
    # The side's phase is relative to the mid's.
    side = mid[0] * relative[0] - mid[1] * relative[1], mid[1] * relative[0] + mid[0] * relative[1]
    for index, phasor in enumerate((mid, side)):
        for part in range(2):
            torch.mul(size[:, index, :, :bins], phasor[part], out=parts[:, index, :, :bins, part])
    for part, wave in enumerate(above):
        torch.mul(size[..., bins:], wave, out=parts[..., bins:, part])
    return spectrum, carry


@functools.lru_cache(maxsize=16)
def _noise(
    first: int, frames: int, shape: tuple[int, ...], bins: int, device: torch.device
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Where the mid's phase starts below `bins`, and cosine and sine of the phase above; the same for every clip."""
    angles = noise_phase(first, frames, shape).transpose(0, 1).flatten(1, 2).to(device)
    above = angles[:, :, bins:]
    return angles[0, :, :bins].clone(), (above.cos(), above.sin())


def _linear_steps(model: "Autoencoder", latent: Tensor, low: int, high: int) -> list[Tensor]:
    """The mid's phase steps that the linear path's magnitudes imply; they depend on the neighbouring frames."""
    config = model.config
    first, last = max(low - 1, 0), min(high + 1, latent.shape[1])
    log_magnitude = model.linear_log_magnitude(latent[:, first:last], slice(None, config.network_bins))[:, 0]
    cut = slice((low - first) * config.frames_per_latent, (high - first) * config.frames_per_latent)
    return [step[:, cut] for step in steps_from_magnitude(log_magnitude, config.window, config.hop)]


def _integrated(
    model: "Autoencoder", size: Tensor, advance: Tensor, delay: Tensor, initial: Tensor, before: Carry | None
) -> tuple[Tensor, Carry]:
    """The mid's phase `(batch, frames, bins)` from its steps beyond the neutral ones, and what the next slice needs."""
    overlap = model.config.window // model.config.hop
    advance = advance + neutral_advance(size.shape[-1], overlap, size.device)
    sizes, steps, delays = (x.cpu().numpy() for x in (size, advance, delay + torch.pi))
    first, silent = initial.cpu().numpy(), np.zeros_like(sizes[:, 0])
    last = Carry(silent, silent) if before is None else before
    phase = np.stack(
        [
            integrate(sizes[clip], steps[clip], delays[clip], first, last.magnitude[clip], last.phase[clip])
            for clip in range(len(sizes))
        ]
    )
    carry = Carry(sizes[:, -1].copy(), phase[:, -1].copy())
    return torch.from_numpy(phase).to(size.device), carry


def _left_and_right(mid_side: Tensor) -> Tensor:
    mid, side = mid_side.unbind(1)
    return torch.stack([mid + side, mid - side], dim=1)
