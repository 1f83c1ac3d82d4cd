"""What a training batch is made of: pairs that are hard to tell apart, basses that nearly fit, and random sound.

Every bass in a batch, true or not, has gone through the same kind of transposition and time-stretching, so nothing but
the mix can tell which is which. The sound of a stem, its noise floor, and what leaks into it must not help either: all
of that is changed at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrastive.config import FeatureConfig
from contrastive.encoder import network_input
from contrastive.features import Place, view
from contrastive.songs import SongFeatures

_TEMPO_RANGE = 1.12
_TEMPO_JITTER = 0.05


@dataclass(frozen=True)
class Batch:
    """Views uint8 of `(pairs, rows, frames)` mixes and `(2 pairs, rows, frames)` basses, the true ones first.

    The others come from elsewhere in the songs; `contrastive.loss` makes further negatives of the true ones.
    """

    mix: np.ndarray
    bass: np.ndarray
    names: tuple[str, ...] = ()
    """Songs of the pairs."""


def draw_batch(
    songs: Sequence[SongFeatures], generator: np.random.Generator, config: FeatureConfig, *, pairs: int, frames: int
) -> Batch:
    """A batch of different songs where there are enough, each pair with a bass from elsewhere in its song.

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
        places = place, elsewhere(song, place, generator, frames, config)
        basses.append([view(song.bass, where, frames, config) for where in places])
    views = np.concatenate([np.stack(kind) for kind in zip(*basses, strict=True)])
    return Batch(np.stack(mixes), views, tuple(songs[index].name for index in chosen))


def elsewhere(
    song: SongFeatures, place: Place, generator: np.random.Generator, frames: int, config: FeatureConfig
) -> Place:
    """Another place of the song, whose bass does not fit the mix at `place`."""
    last = max(song.frames - 1 - place.rate * frames, 0.0)
    on_bar = bool(generator.random() < 0.5)
    start = _draw_start(song, generator, place.rate * frames, config, on_bar=on_bar)
    if abs(start - place.start) < beat_frames(song, config):  # half the room away instead, around the end
        start = (place.start + last / 2) % max(last, 1.0)
    return Place(start, place.rate, place.semitones)


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


# What must not help: on views in the towers' input scale, where 1 is 20 dB, with independent draws for every clip


@dataclass(frozen=True)
class Augmentation:
    """Sizes of the random changes, in decibels."""

    equaliser: float = 5.0
    """Standard deviation at each of `knots` points along the axis, straight lines between them."""
    knots: int = 8
    gain: float = 4.0
    """Standard deviation of the level, beyond what normalisation left."""
    floor: tuple[float, float] = (-75.0, -25.0)
    """Range of a noise floor relative to the clip's level."""
    leak: tuple[float, float] = (-40.0, -12.0)
    """Range of the gain of another pair's stem of the other kind."""
    leaks: float = 0.3
    """Share of clips with such a leak."""


def augmented(mix: Tensor, bass: Tensor, generator: np.random.Generator, config: Augmentation) -> tuple[Tensor, Tensor]:
    """Stored views `(pairs, rows, frames)` and `(basses, rows, frames)` to augmented network input.

    Power is added by taking the louder of the two, which is within 3 dB of the sum.
    """
    mixes, basses = network_input(mix), network_input(bass)
    other = torch.from_numpy((np.arange(len(basses)) + generator.integers(1, max(len(mixes), 2))) % len(mixes))
    return (
        _changed(mixes, basses[torch.from_numpy(generator.permutation(len(mixes)))], generator, config),
        _changed(basses, mixes[other.to(mixes.device)], generator, config),
    )


def _changed(clips: Tensor, leaking: Tensor, generator: np.random.Generator, config: Augmentation) -> Tensor:
    count, rows, frames = clips.shape
    # A leak is far below any clip unless it is drawn.
    leak = np.where(generator.random(count) < config.leaks, generator.uniform(*config.leak, count), -200.0)
    clips = torch.maximum(clips, leaking + _column(leak, clips))
    curve = generator.standard_normal((count, 1, config.knots)) * config.equaliser
    curve += generator.standard_normal((count, 1, 1)) * config.gain
    lines = F.interpolate(torch.from_numpy(curve).float(), size=rows, mode="linear", align_corners=True)
    clips = clips + (lines / 20).squeeze(1)[:, :, None].to(clips.device)
    # One block of noise for all, each clip beginning elsewhere in it; a floor of 0 dB is 1.75 in the input's scale.
    noise = 10 * np.log10(generator.exponential(size=(rows, 2 * frames)).astype(np.float32) + 1e-3) / 20
    block = torch.from_numpy(noise).to(clips.device)
    floor = generator.uniform(*config.floor, count) + 35.0
    starts = generator.integers(frames, size=count)
    for index in range(count):
        window = block[:, starts[index] : starts[index] + frames]
        clips[index] = torch.maximum(clips[index], window + float(floor[index]) / 20)
    return clips.clamp(min=network_input(torch.zeros(())).item())


def _column(decibels: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(decibels / 20).to(like)[:, None, None]
