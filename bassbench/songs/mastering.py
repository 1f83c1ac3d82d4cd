"""A record's end of chain on a mix: equaliser, bus compression, saturation, width, room, limiter, lossy coding, noise.

Drawn by `draw_master`, applied by `master`; every stage may be left out.
"""

import io
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
import soundfile

from bassbench.audio import SAMPLE_RATE
from bassbench.songs.effects import Effect, apply_effects


@dataclass(frozen=True)
class Master:
    """The stages of one mix, in the order in which they come."""

    equaliser: tuple[Effect, ...] = ()
    compressor: tuple[Effect, ...] = ()
    drive: float = 0.0
    """Saturation tanh(drive x) of a mix at a peak of 1; 0: none."""
    width: float = 1.0
    """Gain of the side (L - R) / 2; 0 is mono."""
    room: tuple[Effect, ...] = ()
    limit: float = 0.0
    """Decibels that the limiter takes off the peaks."""
    codec: tuple[str, float] | None = None
    """("mp3" or "vorbis", compression level of libsndfile: 0 the best to 1 the smallest)."""
    noise: float = 0.0
    """Level of the noise, of the mix's; 0: none."""
    noise_seed: int = 0


def draw_master(generator: np.random.Generator) -> Master:
    """A random end of chain, each stage with its own probability; all is drawn before anything is left out."""

    def between(low: float, high: float) -> float:
        return round(float(generator.uniform(low, high)), 4)

    def octaves(low: float, high: float) -> float:
        return round(float(low * (high / low) ** generator.random()), 3)

    equaliser = (
        ("HighpassFilter", {"cutoff_frequency_hz": octaves(20, 60)}),
        ("LowShelfFilter", {"cutoff_frequency_hz": octaves(70, 250), "gain_db": between(-5, 5)}),
        ("PeakFilter", {"cutoff_frequency_hz": octaves(200, 1000), "gain_db": between(-5, 5), "q": octaves(0.4, 2)}),
        ("PeakFilter", {"cutoff_frequency_hz": octaves(1000, 6000), "gain_db": between(-5, 5), "q": octaves(0.4, 2)}),
        ("HighShelfFilter", {"cutoff_frequency_hz": octaves(3000, 10000), "gain_db": between(-8, 6)}),
    )
    compressor = (
        ("Compressor", {"threshold_db": between(-32, -14), "ratio": octaves(1.5, 8), "attack_ms": octaves(1, 40),
                        "release_ms": octaves(50, 500)}),
    )  # fmt: skip
    room = (("Reverb", {"room_size": between(0.05, 0.7), "wet_level": octaves(0.02, 0.15), "dry_level": 0.9}),)
    drive, width, limit = octaves(0.4, 4), octaves(0.4, 1.8), between(1, 12)
    codec = ("mp3", between(0.3, 0.9)) if generator.random() < 0.3 else ("vorbis", between(0.5, 0.95))
    noise, seed = octaves(0.001, 0.03), int(generator.integers(1 << 31))
    chances = generator.random(8) < (0.8, 0.65, 0.5, 0.5, 0.4, 0.65, 0.15, 0.12)
    mono = generator.random() < 0.06
    return Master(
        equaliser=equaliser if chances[0] else (),
        compressor=compressor if chances[1] else (),
        drive=drive if chances[2] else 0.0,
        width=0.0 if mono else width if chances[3] else 1.0,
        room=room if chances[4] else (),
        limit=limit if chances[5] else 0.0,
        codec=codec if chances[6] else None,
        noise=noise if chances[7] else 0.0,
        noise_seed=seed,
    )


def master(audio: np.ndarray, chain: Master) -> np.ndarray:
    """Play a mix `(2, samples)` at 44.1 kHz through an end of chain; the level of the result is not the input's.

    Raises:
        BadInputError: Pedalboard is not installed.
    """
    audio = apply_effects(audio, (*chain.equaliser, *chain.compressor))
    peak = float(np.abs(audio).max())
    if peak == 0:
        return audio
    if chain.drive:
        audio = np.tanh(audio * np.float32(chain.drive / peak))
    if chain.width != 1.0:
        middle, side = audio.mean(axis=0), (audio[0] - audio[1]) * np.float32(chain.width / 2)
        audio = np.stack([middle + side, middle - side])
    audio = apply_effects(audio, chain.room)
    if chain.limit:
        audio = limited(audio, chain.limit)
    if chain.noise:
        audio = audio + _hiss(audio, chain.noise, chain.noise_seed)
    return audio if chain.codec is None else coded(audio, *chain.codec)


def limited(audio: np.ndarray, decibels: float, *, window: float = 0.004, release: float = 0.06) -> np.ndarray:
    """Peaks lowered by up to `decibels`, with a gain that is already down when a peak comes; at a peak of 1."""
    ceiling = float(np.abs(audio).max()) * 10 ** (-decibels / 20)
    step = 32
    samples = audio.shape[1]
    peaks = np.abs(audio).max(axis=0)
    peaks = np.pad(peaks, (0, -samples % step)).reshape(-1, step).max(axis=1)
    wanted = np.minimum(ceiling / np.maximum(peaks, 1e-9), 1.0)
    reach = round(window * SAMPLE_RATE / step)
    held = -scipy.ndimage.maximum_filter1d(-np.log(wanted), 2 * reach + 1)
    keep = np.exp(-step / SAMPLE_RATE / release)
    # Reduction rises at once and falls with the release: the larger of it and its own trail, in the log domain.
    trail = scipy.signal.lfilter([1 - keep], [1, -keep], held)
    gain = np.exp(np.minimum(held, scipy.ndimage.uniform_filter1d(trail, 2 * reach + 1)))
    curve = np.interp(np.arange(samples) / step - 0.5, np.arange(len(gain)), gain).astype(np.float32)
    return np.clip(audio * (curve / np.float32(ceiling)), -1, 1)


def coded(audio: np.ndarray, kind: str, compression: float) -> np.ndarray:
    """A mix `(2, samples)` through a lossy codec and back, where it was in time."""
    format_, subtype = {"mp3": ("MP3", "MPEG_LAYER_III"), "vorbis": ("OGG", "VORBIS")}[kind]
    loudest = float(np.abs(audio).max())
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", SAMPLE_RATE, 2, subtype, format=format_, compression_level=compression
    ) as encoder:
        frames = audio.T * np.float32(0.9 / loudest)
        for start in range(0, len(frames), 1 << 16):  # libvorbis takes no long block at once
            encoder.write(frames[start : start + (1 << 16)])
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    late = _delay(audio.mean(axis=0), decoded.mean(axis=1))
    decoded = np.pad(decoded[late:], ((0, max(audio.shape[1] + late - len(decoded), 0)), (0, 0)))
    return np.ascontiguousarray(decoded[: audio.shape[1]].T) * np.float32(loudest / 0.9)


def _delay(before: np.ndarray, after: np.ndarray, *, most: int = 4096, samples: int = 1 << 17) -> int:
    """Samples by which `after` is late, at most `most`: where their correlation is largest."""
    start = max(len(before) // 2 - samples // 2, 0)
    middle = before[start : start + samples]
    later = after[start : start + samples + most]
    correlation = scipy.signal.correlate(later, middle, "valid", "fft")
    return int(np.argmax(correlation[: most + 1]))


def _hiss(audio: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Pink noise, a fifth of it hum at 50 Hz and its harmonics, `level` of the mix's deviation."""
    generator = np.random.default_rng(seed)
    white = generator.standard_normal(audio.shape, dtype=np.float32)
    # Paul Kellet's economy filter: white noise to pink within 1 dB above 40 Hz.
    poles = ((0.05, 0.997), (0.3, 0.963), (1.05, 0.57))
    pink = np.sum([scipy.signal.lfilter([gain], [1, -pole], white) for gain, pole in poles], axis=0)
    pink = pink / np.std(pink)
    if generator.random() < 0.3:
        times = np.arange(audio.shape[1]) / SAMPLE_RATE
        pink = pink + 0.5 * sum(np.sin(2 * np.pi * 50 * k * times) / k for k in (1, 2, 3, 5))
    return (level * float(np.std(audio)) * pink).astype(np.float32)
