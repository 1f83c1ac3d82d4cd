"""What a training batch is made of: pairs that are hard to tell apart, and basses that nearly fit.

Every bass in a batch, true or not, has gone through the same kind of transposition and time-stretching, so nothing but
the mix can tell which is which.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contrastive.config import FeatureConfig
from contrastive.songs import SongFeatures

HARD = ("elsewhere",)
"""The hard negatives that each pair brings along as basses of their own; `self_negatives` makes the others."""
_TEMPO_RANGE = 1.12
_TEMPO_JITTER = 0.05


@dataclass(frozen=True)
class Place:
    """Where a tower looks at a song: feature frame of the start, feature frames per frame seen, semitones up."""

    start: float
    rate: float
    semitones: int


@dataclass(frozen=True)
class Batch:
    """Views uint8 of `(pairs, rows, frames)` mixes and `((1 + hard) pairs, rows, frames)` basses, true ones first."""

    mix: np.ndarray
    bass: np.ndarray
    names: tuple[str, ...] = ()
    """Songs of the pairs."""


def view(features: np.ndarray, place: Place, frames: int, config: FeatureConfig) -> np.ndarray:
    """What a tower sees, uint8 `(view + upper bands, frames)`, of features `(bins, song frames)` from a place on.

    Music that is seen `semitones` higher is seen from lower down. Frames beyond the ends repeat the last one.
    """
    columns = np.rint(place.start + place.rate * np.arange(frames)).astype(int).clip(0, features.shape[1] - 1)
    bottom = (config.room - place.semitones) * config.bins_per_semitone
    if not 0 <= bottom <= 2 * config.room * config.bins_per_semitone:
        raise ValueError(f"there is room for {config.room} semitones up and down, not {place.semitones}")
    first, last = columns.min(), columns.max() + 1
    seen = np.concatenate([features[bottom : bottom + config.view, first:last], features[config.pitched :, first:last]])
    return seen[:, columns - first]


def draw_batch(
    songs: Sequence[SongFeatures], generator: np.random.Generator, config: FeatureConfig, *, pairs: int, frames: int
) -> Batch:
    """A batch of different songs where there are enough, each pair with one hard negative of each kind.

    Every other batch, by chance, is aligned: songs of similar tempo are brought to one tempo and one tonic and begin on
    a bar, so that only the harmony and the rhythm of the pair itself can tell it from the others.

    Raises:
        ValueError: a song is shorter than `frames`.
    """
    aligned = bool(generator.random() < 0.5)
    chosen = _songs_of_like_tempo(songs, generator, pairs) if aligned else _any_songs(songs, generator, pairs)
    tempo, tonic = songs[chosen[0]].tempo, int(generator.integers(12))
    mixes, basses = [], []
    for index in chosen:
        song = songs[index]
        rate = tempo / song.tempo if aligned else float(np.exp(generator.uniform(-_TEMPO_JITTER, _TEMPO_JITTER)))
        rate = min(max(rate, 1 / _TEMPO_RANGE), _TEMPO_RANGE, (song.frames - 1) / frames)
        semitones = int(generator.integers(-config.room, config.room + 1))
        if aligned and song.tonic >= 0:
            semitones = (tonic - song.tonic + 6) % 12 - 6
        place = Place(_draw_start(song, generator, rate * frames, config, on_bar=aligned), rate, semitones)
        mixes.append(view(song.mix, place, frames, config))
        places = [place, *hard_places(song, place, generator, frames, config)]
        basses.append([view(song.bass, where, frames, config) for where in places])
    views = np.concatenate([np.stack(kind) for kind in zip(*basses, strict=True)])
    return Batch(np.stack(mixes), views, tuple(songs[index].name for index in chosen))


def hard_places(
    song: SongFeatures, place: Place, generator: np.random.Generator, frames: int, config: FeatureConfig
) -> list[Place]:
    """Places whose bass does not fit the mix at `place`: from elsewhere in the song."""
    last = max(song.frames - 1 - place.rate * frames, 0.0)
    on_bar = bool(generator.random() < 0.5)
    elsewhere = _draw_start(song, generator, place.rate * frames, config, on_bar=on_bar)
    if abs(elsewhere - place.start) < beat_frames(song, config):  # half the room away instead, around the end
        elsewhere = (place.start + last / 2) % max(last, 1.0)
    return [Place(elsewhere, place.rate, place.semitones)]


def beat_frames(song: SongFeatures, config: FeatureConfig) -> float:
    """Feature frames in one beat of a song."""
    return 60.0 / song.tempo * config.frames_per_second


def _draw_start(
    song: SongFeatures, generator: np.random.Generator, length: float, config: FeatureConfig, *, on_bar: bool
) -> float:
    last = song.frames - 1 - length
    if last < 0:
        raise ValueError(f"{song.name}: {song.frames} frames, fewer than the {length:.0f} of a crop")
    bars = song.downbeats * config.frames_per_second
    bars = bars[bars <= last]
    if on_bar and len(bars):
        return float(generator.choice(bars))
    return float(generator.uniform(0, last))


def _any_songs(songs: Sequence[SongFeatures], generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.choice(len(songs), count, replace=count > len(songs))


def _songs_of_like_tempo(songs: Sequence[SongFeatures], generator: np.random.Generator, count: int) -> np.ndarray:
    """A random song and `count` - 1 of those near it in tempo; if there are too few of them, any others."""
    tempi = np.array([song.tempo for song in songs])
    first = int(generator.integers(len(songs)))
    order = generator.permutation(len(songs))
    far = np.abs(np.log(tempi[order] / tempi[first])) > np.log(_TEMPO_RANGE)
    order = order[np.argsort(far, kind="stable")]
    order = np.concatenate([[first], order[order != first]])
    return np.resize(order, count)
