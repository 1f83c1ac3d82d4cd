"""What an embedder is: audio in, one vector per window out, always prepared the same way.

Conventions: audio is float `(channels, samples)` at any rate; embeddings are float32 `(windows, dim)`. Preparation is
part of the protocol: channels are averaged, the result is resampled to the embedder's rate and brought to -23 LUFS
there, so that what the embedder hears has one level (12 dB of gain alone would move a Fréchet distance farther than
a low-pass at 300 Hz does). What does not fill a window at the end is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bassbench.audio import TARGET_LUFS, loudness_normalise, resample
from bassbench.errors import BadInputError

WindowFunction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Embedder:
    """What an embedder needs to be run and named in a protocol.

    `window` and `hop` are seconds. `loader` takes a torch device and gives a function from prepared mono audio
    `(samples,)` of one window or more to embeddings `(windows, dim)`; nothing is loaded before it is called.
    `weights_sha256` and `weights_licence` are empty where there are no weights. Raise `revision` when outputs change.
    """

    name: str
    sample_rate: int
    window: float
    hop: float
    dim: int
    loader: Callable[[str], WindowFunction]
    weights_sha256: str = ""
    weights_licence: str = ""
    revision: int = 1


def prepare(audio: np.ndarray, sample_rate: float, embedder: Embedder, *, source: str = "audio") -> np.ndarray:
    """Audio `(channels, samples)` -> mono float32 `(samples,)` at the embedder's rate and -23 LUFS; silence stays.

    Raises:
        BadInputError: as `embed`.
    """
    if audio.ndim != 2 or audio.shape[0] == 0 or audio.shape[0] > max(audio.shape[1], 1):
        raise BadInputError(f"{source}: expected audio (channels, samples), got an array of shape {audio.shape}")
    seconds = audio.shape[1] / sample_rate
    if seconds < embedder.window:
        raise BadInputError(
            f"{source}: {seconds:.2f} s is shorter than one window of {embedder.name} ({embedder.window:.3f} s); "
            f"give longer audio"
        )
    mono = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadInputError(f"{source}: the audio holds NaN or Inf; repair it before scoring")
    rate = embedder.sample_rate
    return loudness_normalise(resample(mono, sample_rate, rate), TARGET_LUFS, sample_rate=rate)[0]
