"""Windows of tracks as pairs of mix and bass: what `bassbench.songs.clips` gives for the song bank, for recordings.

Of recordings nothing is known but the sound (and the notes, where stems were played from MIDI): chords, beats,
downbeats and key of the clips are empty, the tempo is 0 and the bass program -1.
"""

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import content_hash, file_hash
from bassbench.errors import BadInputError
from bassbench.metrics.gate import GateLimits
from bassbench.plugins import warn_once
from bassbench.songs.arrangement import Note
from bassbench.songs.render import CLIP_SAMPLES, Clip
from bassbench.stems.layouts import Coverage, StemDataset
from bassbench.stems.track import BASS, Track

_VERSION = "1"  # raise it when the same request gives other audio
_PEAK = 10 ** (-1 / 20)
_SHARE = 0.75  # of the seconds of a window, in which each of the two sounds
_MIXES_TRIED = 16
UNKNOWN_PROGRAM = -1


@dataclass(frozen=True)
class WindowRequest:
    """A window of a track, from `start`, in samples at 44.1 kHz; the counterpart of `datasets.ClipRequest`.

    With `subset` the mix is a random non-empty subset of the other stems that sound, drawn from that seed, as in the
    paper's training pairs; None keeps all.
    """

    track: Track
    start: int
    samples: int
    subset: int | None = None

    @property
    def name(self) -> str:
        """Name of the clip: the track's and the second where it starts."""
        return f"{self.track.name}-{self.start // SAMPLE_RATE}s"

    @property
    def key(self) -> str:
        """Content hash of everything that the clip depends on: the files' bytes and the window."""
        stems = [f"{role} {file_hash(path)}" for role, paths in self.track.stems.items() for path in paths]
        notes = [f"{role} {file_hash(path)}" for role, paths in self.track.midi.items() for path in paths]
        window = f"{self.start} {self.samples} {self.subset}"
        return content_hash("stem window", _VERSION, self.track.name, window, *stems, "midi", *notes)

    def stems(self) -> dict[str, np.ndarray]:
        """Every stem of the window by role, float32 `(2, samples)`, as loud as in its files."""
        return {role: self.track.read([role], self.start, self.samples) for role in self.track.stems}

    def notes(self) -> dict[str, tuple[Note, ...]]:
        """Notes by role, in seconds from the window's start; only of stems that were played from MIDI.

        Where any MIDI file of the track cannot be read none are known, and one warning says so: half of the notes
        would give numbers that look whole.
        """
        begin, end = self.start / SAMPLE_RATE, (self.start + self.samples) / SAMPLE_RATE
        try:
            return {
                role: tuple(
                    Note(max(n.start - begin, 0.0), min(n.end, end) - begin, n.pitch, n.velocity)
                    for path in paths
                    for n in midi_notes(path, file_hash(path))
                    if n.end > begin and n.start < end
                )
                for role, paths in self.track.midi.items()
            }
        except BadInputError as error:
            warn_once(f"{error}; no notes are known of {self.track.name}")
            return {}

    def render(self) -> Clip:
        """Read the clip (no cache).

        Raises:
            BadInputError: the track has no bass or nothing else, or a file cannot be read.
        """
        generator = None if self.subset is None else window_generator(self.name, self.subset)
        return clip_of(self.name, self.track.name, self.stems(), self.notes(), generator)


def window_generator(name: str, seed: int) -> np.random.Generator:
    """The randomness of one use of one window."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def sounds(audio: np.ndarray) -> np.ndarray:
    """Whether each whole second of `(2, samples)` at 44.1 kHz is above the gate's silence: bool `(seconds,)`.

    Audio shorter than a second counts as one.
    """
    length = min(SAMPLE_RATE, max(audio.shape[1], 1))
    seconds = audio.shape[1] // length
    power = np.square(audio[:, : seconds * length], dtype=np.float64).reshape(2, seconds, length).mean(axis=(0, 2))
    return power > 10 ** (GateLimits().silent_db / 10)


def draw_subset(stems: Mapping[str, np.ndarray], generator: np.random.Generator | None) -> tuple[str, ...]:
    """Roles of the mix: all but the bass, or a random non-empty subset of those that sound (all if none does)."""
    others = tuple(role for role in stems if role != BASS)
    if generator is None:
        return others
    others = tuple(role for role in others if sounds(stems[role]).any()) or others
    kept = generator.random(len(others)) < generator.choice([0.35, 0.65, 1.0])
    lone = int(generator.integers(max(len(others), 1)))
    return tuple(role for i, role in enumerate(others) if kept[i] or (i == lone and not kept.any()))


def clip_of(
    name: str,
    song: str,
    stems: Mapping[str, np.ndarray],
    notes: Mapping[str, Sequence[Note]],
    generator: np.random.Generator | None = None,
) -> Clip:
    """Make a pair of stems `(2, samples)` by role; with a generator the mix is a random subset of the other stems.

    Where mix, bass or their sum peak above -1 dBFS both are turned down together.

    Raises:
        BadInputError: there is no bass or nothing else.
    """
    kept = draw_subset(stems, generator)
    if BASS not in stems or not kept:
        raise BadInputError(f"{song}: a pair needs a bass and another stem; found {', '.join(stems)}")
    mix, bass = np.sum([stems[role] for role in kept], axis=0), stems[BASS]
    peak = max(float(np.abs(audio).max(initial=0.0)) for audio in (mix, bass, mix + bass))
    gain = np.float32(min(1.0, _PEAK / peak) if peak else 1.0)
    return Clip(
        name=name,
        song=song,
        mix=mix * gain,
        bass=bass * gain,
        chords=(),
        beats=(),
        downbeats=(),
        bass_notes=tuple(sorted(notes.get(BASS, ()), key=lambda note: note.start)),
        mix_notes=tuple(sorted((n for role in kept for n in notes.get(role, ())), key=lambda note: note.start)),
        tempo=0.0,
        bass_program=UNKNOWN_PROGRAM,
        key="",
    )


def window_requests(
    dataset: StemDataset,
    samples: int = CLIP_SAMPLES,
    *,
    seed: int = 0,
    per_track: int = 1,
    subset: bool = False,
    coverage: Coverage | None = None,
) -> Iterator[WindowRequest]:
    """Draw up to `per_track` windows of every pair that do not overlap and in which bass and mix both sound.

    A second sounds above -60 dBFS; each of the two must in three quarters of the window's seconds. Tracks without such
    a window (too short, too sparse) and tracks that cannot be read give none; `coverage` is told of them. Reading ends
    when the iterator is no longer asked.

    Raises:
        BadInputError: no track has both a bass and something else.
    """
    if samples <= 0 or per_track <= 0:
        raise ValueError(f"samples and per_track must be positive, got {samples} and {per_track}")
    if not dataset.pairs:
        raise BadInputError(f"{dataset.path}: no track has both a bass and another stem, so there is nothing to score")
    for track in dataset.pairs:
        starts, reason = [], f"bass and mix nowhere sound together for {samples / SAMPLE_RATE:.1f} s"
        try:
            starts = _starts(track, samples, window_generator(track.name, seed), per_track)
        except BadInputError as error:
            reason = str(error)
        if not starts and coverage is not None:
            coverage.left_out[track.name] = reason
        for start in starts:
            yield WindowRequest(track, start, samples, seed if subset else None)


def clips(
    dataset: StemDataset, samples: int = CLIP_SAMPLES, *, seed: int = 0, per_track: int = 1, count: int | None = None
) -> Iterator[Clip]:
    """Read the clips of `window_requests` one by one, `count` at most.

    Raises:
        BadInputError: as `window_requests`; also where no window of the whole dataset is fit.
    """
    number, coverage = 0, Coverage.of_pairs(dataset)
    for request in window_requests(dataset, samples, seed=seed, per_track=per_track, coverage=coverage):
        if number == count:
            return
        yield request.render()
        number += 1
    if not number:
        raise BadInputError(f"{dataset.path}: {coverage}; mend the files or ask for less seconds")


def _starts(track: Track, samples: int, generator: np.random.Generator, count: int) -> list[int]:
    """Starts on whole seconds, in random order, of windows that sound and do not overlap."""
    last = track.samples - samples
    if last < 0:
        return []
    active = np.concatenate([[0], np.cumsum(_active_seconds(track))])
    seconds = max(round(samples / SAMPLE_RATE), 1)
    candidates = [
        second
        for second in range(last // SAMPLE_RATE + 1)
        if active[min(second + seconds, len(active) - 1)] - active[second] >= _SHARE * seconds
    ]
    chosen: list[int] = []
    tried = 0
    for second in generator.permutation(candidates).astype(int).tolist():
        start = second * SAMPLE_RATE
        if any(abs(start - other) < samples for other in chosen):
            continue
        tried += 1
        if sounds(track.read(track.others, start, samples)).mean() >= _SHARE:
            chosen.append(start)
        if len(chosen) == count or tried == _MIXES_TRIED * count:
            break
    return chosen


def _active_seconds(track: Track, block: int = 20) -> np.ndarray:
    """Whether the bass sounds in each second of the track, read `block` seconds at a time."""
    step = block * SAMPLE_RATE
    parts = [sounds(track.read([BASS], start, step)) for start in range(0, track.samples, step)]
    return np.concatenate(parts)[: -(-track.samples // SAMPLE_RATE)]


@functools.lru_cache(maxsize=64)
def midi_notes(path: Path, content: str, *, drums: bool = False) -> tuple[Note, ...]:
    """Notes of a MIDI file, drums only if asked for; `content` is its hash, so that a changed file is read again.

    Raises:
        BadInputError: it cannot be read.
    """
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # mido and pretty_midi raise many kinds, a key signature that is none its own
        raise BadInputError(f"{path}: not a readable MIDI file ({error}); remove it or get it again") from None
    notes = (note for instrument in midi.instruments if drums or not instrument.is_drum for note in instrument.notes)
    return tuple(Note(note.start, note.end, note.pitch, note.velocity) for note in notes)


def even_starts(length: int, samples: int) -> list[int]:
    """Starts of the fewest windows of `samples` that cover `length`, evenly spread; one where it is shorter."""
    count = max(-(-length // samples), 1)
    return [round(i * max(length - samples, 0) / max(count - 1, 1)) for i in range(count)]
