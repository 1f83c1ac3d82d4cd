"""A spectrogram small enough to stand beside every player: log frequency, level in dB below full scale."""

import io

import matplotlib
import numpy as np
from PIL import Image

from bassbench.audio import SAMPLE_RATE
from bassbench.report.sound import data_uri

LOWEST, HIGHEST = 30.0, 8000.0  # hertz
WIDTH, HEIGHT = 480, 160  # pixels
_WINDOW_SECONDS = 0.186  # 8192 samples at 44.1 kHz: tells a low E from an F
_FLOOR, _CEILING = -90.0, -10.0  # dB below a sine of full scale
_LEVELS = 64


def spectrogram_uri(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> str:
    """The spectrogram of `(channels, samples)` as a PNG data URI, `WIDTH` columns whatever the length."""
    levels = (spectrogram(audio, sample_rate) - _FLOOR) / (_CEILING - _FLOOR)
    indices = np.round(np.clip(levels, 0, 1) * (_LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(indices[::-1])  # low frequencies at the bottom
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _LEVELS), bytes=True)[:, :3]
    image.putpalette(colours.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return data_uri("image/png", file.getvalue())


def spectrogram(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Level in dB below a full-scale sine, `(HEIGHT, WIDTH)`, of the channels' mean; frequency rises with the row."""
    window = round(_WINDOW_SECONDS * sample_rate)
    hann = np.hanning(window).astype(np.float32)
    mono = np.pad(audio.mean(axis=0), window // 2 + 1)
    centres = np.linspace(0, max(audio.shape[1] - 1, 0), WIDTH).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(mono, window)[centres] * hann
    magnitude = np.abs(np.fft.rfft(frames, axis=1)) * (2 / hann.sum())
    level = 20 * np.log10(np.maximum(magnitude, 1e-6))
    bins = np.geomspace(LOWEST, HIGHEST, HEIGHT) * window / sample_rate
    low = np.minimum(bins.astype(int), level.shape[1] - 2)
    share = np.clip(bins - low, 0, 1)
    between = level[:, low] * (1 - share) + level[:, low + 1] * share
    between[:, bins > level.shape[1] - 1] = _FLOOR  # above half a low sample rate there is nothing
    return between.T


def height_of(frequency: float) -> float:
    """Where a frequency in hertz lies in the picture, as a share of its height from the bottom."""
    return float(np.log(frequency / LOWEST) / np.log(HIGHEST / LOWEST))
