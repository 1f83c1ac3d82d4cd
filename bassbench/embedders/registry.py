"""The embedders by name: those that come with the package, those of fadtk, and plug-ins."""

import functools
from typing import Any

import numpy as np

from bassbench.audio import RESAMPLER, SAMPLE_RATE, TARGET_LUFS
from bassbench.embedders.embedder import Embedder, WindowFunction, prepare
from bassbench.embedders.fadtk import PREFIX, fadtk_embedder
from bassbench.embedders.musicnn import MUSICNN
from bassbench.errors import BadInputError, unknown_name
from bassbench.hearing.spectrum import log_mel
from bassbench.plugins import EMBEDDERS as EMBEDDER_PLUGINS
from bassbench.plugins import broken, load_plugin, plugins

DEFAULT_EMBEDDER = "musicnn"
PAIR_EMBEDDER = "reference"
"""For mix and bass together: unlike MusiCNN it hears whether their notes agree (`bassbench.metrics.adherence`)."""


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


@functools.lru_cache(maxsize=4)
def _loaded(embedder: Embedder, device: str) -> WindowFunction:
    return embedder.loader(device)


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


_LOG_MEL_WINDOW = 128 * 1024

EMBEDDERS: dict[str, Embedder] = {
    "musicnn": MUSICNN,
    "log-mel": Embedder(
        name="log-mel",
        sample_rate=SAMPLE_RATE,
        window=_LOG_MEL_WINDOW / SAMPLE_RATE,
        hop=_LOG_MEL_WINDOW / SAMPLE_RATE,
        dim=2 * 64,
        loader=_log_mel_statistics,
    ),
}
