"""What a page is made of: elements that escape what they hold, and sound and pictures inside the page as data URIs.

What is not markup already is escaped, so that no name can become a tag. Audio is MP3, which every browser plays; a
spectrogram, small enough to stand beside every player, has log frequency, and level in dB below full scale.
"""

import base64
import html
import io

import matplotlib
import numpy as np
import soundfile
from PIL import Image

from bassbench.audio import SAMPLE_RATE, resample


class Markup(str):
    """Text that is HTML already; everything else is escaped on its way into an element."""

    __slots__ = ()


_VOID = ("br", "img", "link", "meta")


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """One element; children that are not `Markup` are escaped, None is left out.

    An attribute's name loses a trailing underscore and its inner ones become hyphens (`class_`, `aria_label`); True
    gives the bare name, False or None leaves it out.
    """
    opened = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{opened}>")
    return Markup(f"<{tag}{opened}>{joined(*children)}</{tag}>")


def joined(*children: object) -> Markup:
    """Children one after the other, escaped unless they are `Markup`; None is left out."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def _escaped(child: object) -> str:
    return child if isinstance(child, Markup) else html.escape(str(child))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


BYTES_PER_SECOND = 24_000
"""What a second of audio takes in the page at most, or nearly: 140 kbit/s, a third more in base64."""
_VARIABLE_QUALITY = 0.5  # LAME's V5: about 110 kbit/s for a mix, half of it for a bass
_SHORTEST = 1152  # samples of an MP3 frame


def audio_uri(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> str:
    """Audio `(channels, samples)` as an MP3 data URI; at least one frame long, padded with silence."""
    audio = resample(audio, sample_rate, SAMPLE_RATE)
    padding = max(_SHORTEST - audio.shape[1], 0)
    file = io.BytesIO()
    soundfile.write(
        file,
        np.pad(audio, ((0, 0), (0, padding))).T,
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=_VARIABLE_QUALITY,
    )
    return data_uri("audio/mpeg", file.getvalue())


def data_uri(media_type: str, content: bytes) -> str:
    """Bytes as a base64 data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


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
