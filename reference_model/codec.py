"""An autoencoder on audio of any length: the two verbs encode and decode, in bounded memory and without gradients.

`encode_stream` and `decode_stream` go a chunk of latent frames at a time. On a CPU they work in slices whose spectra
stay in the processor's cache: tensors of large spectra cost more time for their memory than for what is computed. The
arithmetic is that of `Autoencoder.encode` and `Autoencoder.decode`, and the result does not depend on the pieces.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from bassbench.errors import BadInputError
from reference_model.autoencoder import Autoencoder
from reference_model.harmony import REACH
from reference_model.linear_path import unstacked
from reference_model.phase import PhaseState, integrated, noise_phase, steps_from_magnitude, unit
from reference_model.presets import R_TIME
from reference_model.stft import StreamingInverse, hann, tiles

CHUNK = 512
"""Latent frames encoded or decoded at a time (47 s): it changes the memory needed, not the result."""
SLICE = 16
"""Latent frames at a time on a CPU: some megabytes of spectrum."""
BLOCK = 4 * SLICE
"""Latent frames at a time for the decoder network's last layer, whose weights are larger still."""


# Audio to latents


def encode(model: Autoencoder, audio: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """Standardised latents `(batch, dims, ceil(samples / 4096))` of audio `(batch, 2, samples)`.

    Raises:
        BadInputError: another number of channels or no samples.
    """
    return torch.cat(list(encode_stream(model, audio.split(chunk * R_TIME, dim=-1), chunk=chunk)), dim=2)


@torch.no_grad()
def encode_stream(model: Autoencoder, blocks: Iterable[Tensor], *, chunk: int = CHUNK) -> Iterator[Tensor]:
    """The latents of `encode`, `chunk` frames at a time, of audio that comes in blocks of any lengths."""
    reach, start, first = _encoder_reach(model), 0, 0  # next latent frame, and where the audio held begins
    held: Tensor | None = None
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            if block.ndim != 3 or block.shape[1] != 2:
                raise BadInputError(f"audio must be (batch, 2, samples >= 1), got {tuple(block.shape)}")
            block = block.to(model.feature_mean.device)
            held = block if held is None else torch.cat([held, block], dim=-1)
        if held is None or (block is None and not start and not held.shape[-1]):
            raise BadInputError("audio must be (batch, 2, samples >= 1), got no samples")
        there = first + (-(-held.shape[-1] // R_TIME) if block is None else held.shape[-1] // R_TIME)
        while start + chunk + reach <= there or (block is None and start < there):
            low, stop = max(start - reach, 0), min(start + chunk, there)
            high = min(stop + reach, there)
            piece = held[..., (low - first) * R_TIME : (high - first) * R_TIME]
            piece = nn.functional.pad(piece, (0, (high - low) * R_TIME - piece.shape[-1]))
            latent = _analysed(model, piece)[:, start - low : stop - low]
            yield model.standardised(latent).contiguous()
            start = stop
        done = max(start - reach, 0)
        held, first = held[..., (done - first) * R_TIME :], done


def _encoder_reach(model: Autoencoder) -> int:
    """Latent frames on either side that a latent can depend on, the STFT's window included."""
    network = model.encoder.reach if model.encoder is not None else 0
    frames = network * model.config.stack + model.config.window // model.config.hop
    spectrum = -(-frames // model.config.frames_per_latent)
    return max(spectrum, REACH) if model.config.chroma_dims else spectrum


def _analysed(model: Autoencoder, audio: Tensor) -> Tensor:
    """Latents `(batch, frames, dims)`, not standardised, of audio `(batch, 2, samples)` in whole latent frames."""
    config = model.config
    frames = tiles(model.mid_side(audio), config.window, config.hop)
    taper = hann(config.window, audio) * (4.0 / config.window)
    count = SLICE * config.frames_per_latent if audio.device.type == "cpu" else frames.shape[2]
    linear: list[Tensor] = []
    stacks: list[Tensor] = []
    heard = model.heard(audio)
    for piece in frames.split(count, dim=2):
        parts = torch.view_as_real(torch.fft.rfft(piece * taper)[..., : config.network_bins])
        magnitude = (parts[..., 0].square() + parts[..., 1].square()).sqrt_()
        log_magnitude = magnitude.add_(config.floor).log_()
        if model.linear is not None:
            features = model.features(log_magnitude, config.frames_per_latent)
            start = sum(part.shape[1] for part in linear)
            beside = None if heard is None else heard[:, start : start + features.shape[1]]
            linear.append(model.linear.encode(features, beside))
        if model.encoder is not None:
            stacks.append(model.features(log_magnitude, config.stack))
    paths = [torch.cat(linear, dim=1)] if linear else []
    if model.encoder is not None:
        paths.append(model.run(model.encoder, torch.cat(stacks, dim=1)))
    return torch.stack(paths).sum(0)


# Latents to audio


def decode(
    model: Autoencoder, latent: Tensor, samples: int | None = None, *, network: bool = True, chunk: int = CHUNK
) -> Tensor:
    """Audio `(batch, 2, samples)` of standardised latents `(batch, dims, frames)`.

    `samples` defaults to all 4096 of every frame.  Without `network` it is that of the linear path alone.

    Raises:
        BadInputError: latents of another size, and without `network` an autoencoder that is nothing without.
    """
    return torch.cat(list(decode_stream(model, latent, samples, network=network, chunk=chunk)), dim=-1)


@torch.no_grad()
def decode_stream(
    model: Autoencoder, latent: Tensor, samples: int | None = None, *, network: bool = True, chunk: int = CHUNK
) -> Iterator[Tensor]:
    """The audio of `decode` in pieces; the network runs on `chunk` latent frames at a time."""
    config = model.config
    if latent.ndim != 3 or latent.shape[1] != config.dims or not latent.shape[2]:
        raise BadInputError(f"latents must be (batch, {config.dims}, frames >= 1), got {tuple(latent.shape)}")
    count = latent.shape[2]
    if not network and (model.linear is None or not config.integrate_phase):
        raise BadInputError("this autoencoder has no linear path with integrated phase; decode with the network")
    samples = count * R_TIME if samples is None else samples
    if not 0 < samples <= count * R_TIME:
        raise BadInputError(f"{count} latent frames decode to at most {count * R_TIME} samples, not {samples}")
    frames = model.unstandardised(latent.to(model.latent_std))
    yield from _synthesised(model, frames, samples, chunk=chunk, network=network)


def _synthesised(
    model: Autoencoder, latent: Tensor, samples: int, *, chunk: int, network: bool = True
) -> Iterator[Tensor]:
    """Audio `(batch, 2, some)`, `samples` in all, of latents `(batch, frames, dims)`, not standardised.

    Three windows move over the latents, one in another. On a GPU, where memory is fast, they are all `chunk` long.
    """
    config = model.config
    block, size = (BLOCK, SLICE) if latent.device.type == "cpu" else (chunk, chunk)
    inverse = StreamingInverse(config.window, config.hop)
    state, given, planes = None, 0, None
    # Chunks: the decoder network up to its last layer, which sees neighbouring frames too. Its features are small.
    for start, stop in _pieces(0, latent.shape[1], chunk):
        hidden = _hidden(model, latent, start, stop) if network else None
        # Blocks: the last layer, frame by frame. Its weights are large, and so are the planes it gives.
        for first, last in _pieces(start, stop, block):
            if hidden is not None:
                planes = model.decoder.planes(hidden[:, _rows(hidden, stop - start, first - start, last - start)])
            # Slices: the spectrum, larger still, and its waveform. The phase goes on from the slice before, and so does
            # the sum of overlapping STFT frames.
            for low, high in _pieces(first, last, size):
                here = None if planes is None else planes[:, _rows(planes, last - first, low - first, high - first)]
                spectrum, state = _spectrum(model, latent, here, low, high, state)
                audio = model.left_right(inverse.add(spectrum))[..., : samples - given]
                given += audio.shape[-1]
                if audio.shape[-1]:
                    yield audio
                if given == samples:
                    return
    yield model.left_right(inverse.rest())[..., : samples - given]


def _pieces(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of `size` from `start` to `stop` begin and end."""
    return ((low, min(low + size, stop)) for low in range(start, stop, size))


def _hidden(model: Autoencoder, latent: Tensor, start: int, stop: int) -> Tensor:
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
    model: Autoencoder, latent: Tensor, planes: Tensor | None, low: int, high: int, state: PhaseState | None
) -> tuple[Tensor, PhaseState | None]:
    """Complex mid and side `(batch, 2, STFT frames, bins)` of latent frames `low` to `high`."""
    config, piece = model.config, latent[:, low:high]
    bins = config.network_bins
    # Magnitudes: the linear path's of every bin, and below `bins` what the network adds.
    size = model.linear_log_magnitude(piece, slice(None)).contiguous()
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
    # Phases: the mid's, integrated or the network's own, the side's relative to it, and noise above `bins`.
    initial, above = _noise(low, high - low, (2, config.frames_per_latent, config.bins), bins, piece.device)
    if steps:
        overlap = config.window // config.hop
        phase, state = integrated(size[:, 0, :, :bins], steps[0], steps[1], initial, overlap=overlap, before=state)
        mid = phase.cos(), phase.sin()
    else:
        mid = unit(cosine[:, 0], sine[:, 0])
    side = mid[0] * relative[0] - mid[1] * relative[1], mid[1] * relative[0] + mid[0] * relative[1]
    # Magnitudes times phases, written in place.
    spectrum = torch.empty(size.shape, dtype=torch.complex64, device=piece.device)
    parts = torch.view_as_real(spectrum)
    for index, phasor in enumerate((mid, side)):
        for part in range(2):
            torch.mul(size[:, index, :, :bins], phasor[part], out=parts[:, index, :, :bins, part])
    for part, wave in enumerate(above):
        torch.mul(size[..., bins:], wave, out=parts[..., bins:, part])
    return spectrum, state


@functools.lru_cache(maxsize=16)
def _noise(
    first: int, frames: int, shape: tuple[int, ...], bins: int, device: torch.device
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Where the mid's phase starts below `bins`, and cosine and sine of the phase above; the same for every clip."""
    angles = noise_phase(first, frames, shape).transpose(0, 1).flatten(1, 2).to(device)
    above = angles[:, :, bins:]
    return angles[0, :, :bins].clone(), (above.cos(), above.sin())


def _linear_steps(model: Autoencoder, latent: Tensor, low: int, high: int) -> list[Tensor]:
    """The mid's phase steps that the linear path's magnitudes imply; they depend on the neighbouring frames."""
    config = model.config
    first, last = max(low - 1, 0), min(high + 1, latent.shape[1])
    log_magnitude = model.linear_log_magnitude(latent[:, first:last], slice(None, config.network_bins))[:, 0]
    cut = slice((low - first) * config.frames_per_latent, (high - first) * config.frames_per_latent)
    return [step[:, cut] for step in steps_from_magnitude(log_magnitude, config.window, config.hop)]
