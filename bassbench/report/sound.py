"""Audio inside a page: MP3, which every browser plays, as data URIs."""

import base64
import io

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE, resample

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
