"""Whether a file is the sum of others, by its sound: a full mix must not become one of the stems beside it.

A few seconds, spread over the files, are looked at. Gains are free, a master's equaliser or limiter is not undone: what
is left of the file when its best share of the sum is taken off may be a tenth of its power.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.stems.files import read_header, read_window

_PLACES = 12
_LEFT = 0.1  # share of the power that may be left
_ALONE = 3.0  # how much more any single file must leave: two microphones of one drum are no sum
_SAME_LEVEL = (0.8, 1.25)


def sum_among(files: Sequence[Path]) -> Path | None:
    """The file that is about the sum of all the others, if there are at least two others.

    Raises:
        BadInputError: a file cannot be read.
    """
    if len(files) < 3:
        return None
    audio = _read(files)
    powers = np.square(audio).sum(axis=1)
    total = audio.sum(axis=0)
    for index in np.argsort(powers)[::-1]:
        if not powers[index]:
            return None
        others = [i for i in range(len(files)) if i != index]
        together = _left(audio[index], total - audio[index])
        if together <= _LEFT and min(_left(audio[index], audio[i]) for i in others) > _ALONE * together + 0.02:
            return files[index]
    return None


def holds(mix: Path, part: Path) -> bool:
    """Whether a mix has a part in it as loud as in the part's own file: at most of the places where the part sounds.

    Raises:
        BadInputError: a file cannot be read.
    """
    places = _read([mix, part]).reshape(2, _PLACES, -1)
    power = np.square(places[1]).sum(axis=1)
    sounding = power > 1e-3 * power.max()
    if not power.max():
        return False
    share = (places[0] * places[1]).sum(axis=1)[sounding] / power[sounding]
    return bool(np.mean((share > _SAME_LEVEL[0]) & (share < _SAME_LEVEL[1])) > 0.75)


def _read(files: Sequence[Path]) -> np.ndarray:
    """Mono seconds at even places of the files: `(files, samples)`, float64."""
    last = max(read_header(path).samples for path in files) - SAMPLE_RATE
    starts = np.linspace(0, max(last, 0), _PLACES).astype(int)
    return np.array(
        [np.concatenate([read_window(path, int(s), SAMPLE_RATE).mean(axis=0) for s in starts]) for path in files],
        dtype=np.float64,
    )


def _left(audio: np.ndarray, other: np.ndarray) -> float:
    """Share of the power of `audio` that no gain of `other` explains."""
    power, of_other = float(audio @ audio), float(other @ other)
    return 1 - float(audio @ other) ** 2 / (power * of_other) if power and of_other else 1.0
