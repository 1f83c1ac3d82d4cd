"""Embedders: audio in, one vector per window out, always prepared the same way.

Conventions: audio is float `(channels, samples)` at any rate; embeddings are float32 `(windows, dim)`. Preparation is
part of the protocol: channels are averaged, the result is resampled to the embedder's rate and brought to -23 LUFS
there, so that what the embedder hears has one level (12 dB of gain alone would move a Fréchet distance farther than
a low-pass at 300 Hz does). What does not fill a window at the end is left out.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bassbench.audio import RESAMPLER, SAMPLE_RATE, TARGET_LUFS, loudness_normalise, resample
from bassbench.embedders import musicnn
from bassbench.errors import BadInputError, unknown_name
from bassbench.hearing.spectrum import log_mel
from bassbench.plugins import EMBEDDERS as EMBEDDER_PLUGINS
from bassbench.plugins import broken, load_plugin, plugins

DEFAULT_EMBEDDER = "musicnn"
PAIR_EMBEDDER = "reference"
"""For mix and bass together: unlike MusiCNN it hears whether their notes agree (`bassbench.metrics.adherence`)."""

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


def embed(
    audio: np.ndarray, sample_rate: float, name: str = DEFAULT_EMBEDDER, *, device: str = "cpu", source: str = "audio"
) -> np.ndarray:
    """Embed `(channels, samples)` at `sample_rate` -> float32 `(windows, dim)`; `source` names it in errors.

    Raises:
        BadInputError: unknown embedder, audio shorter than one window, NaN or Inf, or not `(channels, samples)`.
    """
    embedder = find_embedder(name)
    prepared = prepare(audio, sample_rate, embedder, source=source)
    return _loaded(embedder, device)(prepared).astype(np.float32, copy=False)


def tag_probabilities(
    audio: np.ndarray, sample_rate: float, *, device: str = "cpu", source: str = "audio"
) -> np.ndarray:
    """MusiCNN's probabilities of its 50 `musicnn.TAGS`, `(windows, 50)`, on the same windows as `embed`.

    Raises:
        BadInputError: as `embed`.
    """
    prepared = prepare(audio, sample_rate, EMBEDDERS["musicnn"], source=source)
    return _musicnn(device)(prepared)[0]


def protocol(name: str = DEFAULT_EMBEDDER) -> dict[str, Any]:
    """Everything that embeddings depend on besides the audio, as JSON values: part of a result's protocol hash.

    Raises:
        BadInputError: unknown embedder.
    """
    embedder = find_embedder(name)
    return {
        "embedder": embedder.name,
        "revision": embedder.revision,
        "weights_sha256": embedder.weights_sha256,
        "sample_rate": embedder.sample_rate,
        "window": embedder.window,
        "hop": embedder.hop,
        "dim": embedder.dim,
        "channels": "mean",
        "resampler": RESAMPLER,
        "lufs": TARGET_LUFS,
    }


def find_embedder(name: str) -> Embedder:
    """The registered embedder of that name.

    Raises:
        BadInputError: there is none.
    """
    if name in EMBEDDERS:
        return EMBEDDERS[name]
    return _added_embedder(name)


def embedder_names() -> list[str]:
    """Names of the built-in embedders and of plug-ins; those of fadtk are `fadtk:NAME` besides."""
    return [*EMBEDDERS, *plugins(EMBEDDER_PLUGINS)]


@functools.cache
def _added_embedder(name: str) -> Embedder:
    from bassbench.embedders.fadtk import PREFIX, fadtk_embedder  # it needs this module

    if name.startswith(PREFIX):
        return fadtk_embedder(name.removeprefix(PREFIX))
    added = plugins(EMBEDDER_PLUGINS)
    if name not in added:
        raise unknown_name("embedder", name, embedder_names(), f"{PREFIX}NAME (see bassbench list)")
    found = load_plugin(added[name])
    try:
        made = found if isinstance(found, Embedder) else found()
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        raise BadInputError(broken(added[name], error)) from error
    if not isinstance(made, Embedder):
        raise BadInputError(
            f"embedder '{name}' is a {type(made).__name__}, expected a bassbench.embedders.embedder.Embedder"
        )
    return made


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


@functools.lru_cache(maxsize=2)
def _musicnn(device: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    model = musicnn.load_musicnn(device)
    batch = 4 if device == "cpu" else 64  # more gain nothing on a processor
    return functools.partial(musicnn.tags_and_embeddings, model, hop_frames=_MUSICNN_HOP, batch=batch)


def _musicnn_embeddings(device: str) -> WindowFunction:
    both = _musicnn(device)
    return lambda audio: both(audio)[1]


def _log_mel_statistics(device: str) -> WindowFunction:
    """Mean and deviation over time of 64 log-mel bands from 20 Hz; computed by numpy whatever the device."""

    def embeddings(audio: np.ndarray) -> np.ndarray:
        starts = range(0, len(audio) - _LOG_MEL_WINDOW + 1, _LOG_MEL_WINDOW)
        rows = []
        for start in starts:
            # The floor lies 80 dB below a full-scale bass tone: what nobody hears should not move the score.
            # The outer frames reach beyond the window and are dropped.
            frames = log_mel(audio[start : start + _LOG_MEL_WINDOW], bands=64, floor=1e-4)[:, 2:-2]
            rows.append(np.concatenate([frames.mean(axis=1), frames.std(axis=1)]))
        return np.stack(rows)

    return embeddings


@functools.lru_cache(maxsize=4)
def _loaded(embedder: Embedder, device: str) -> WindowFunction:
    return embedder.loader(device)


# Patches side by side, as the authors' package cuts them: overlapping ones by half moved no anchor of 50 songs by 2 %.
_MUSICNN_HOP = musicnn.PATCH_FRAMES
_LOG_MEL_WINDOW = 128 * 1024

EMBEDDERS: dict[str, Embedder] = {
    "musicnn": Embedder(
        name="musicnn",
        sample_rate=musicnn.SAMPLE_RATE,
        window=musicnn.PATCH_FRAMES * musicnn.HOP / musicnn.SAMPLE_RATE,
        hop=_MUSICNN_HOP * musicnn.HOP / musicnn.SAMPLE_RATE,
        dim=musicnn.PENULTIMATE,
        loader=_musicnn_embeddings,
        weights_sha256=musicnn.WEIGHTS_SHA256,
        weights_licence="ISC",
    ),
    "log-mel": Embedder(
        name="log-mel",
        sample_rate=SAMPLE_RATE,
        window=_LOG_MEL_WINDOW / SAMPLE_RATE,
        hop=_LOG_MEL_WINDOW / SAMPLE_RATE,
        dim=2 * 64,
        loader=_log_mel_statistics,
    ),
}
