"""Examples to listen to: mix, real and generated bass, alone and with the mix, each with its spectrogram.

`run_examples` takes them from run folders: the clips that the runs share, and what each system played for them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE, fit_length, read_audio
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import file_stem
from bassbench.metrics.registry import GATE
from bassbench.plugins import warn_once
from bassbench.report.elements import (
    BYTES_PER_SECOND,
    HEIGHT,
    HIGHEST,
    LOWEST,
    WIDTH,
    Markup,
    audio_uri,
    element,
    height_of,
    spectrogram_uri,
)
from bassbench.songs.render import Clip
from bassbench.stems.files import AUDIO_SUFFIXES
from bassbench.suite.clip_set import ClipEntry, open_clip_set
from bassbench.suite.run_folder import ClipRowStore, RunConfig, read_config

Sound = np.ndarray | Callable[[], np.ndarray] | None
"""Audio `(channels, samples)`, a function that reads it when its turn comes, or None where there is none."""

SHORTEST_CUT = 4.0
"""Seconds: an example that has room for less is left out."""
PICTURE_BYTES = 60_000
"""What a spectrogram takes in the page, or nearly."""
_PEAK = 10 ** (-1 / 20)
_QUIET = 1e-4
_TICKS = {50: "50 Hz", 200: "200", 1000: "1k", 4000: "4k"}


@dataclasses.dataclass(frozen=True)
class Example:
    """One mix with its real bass and what systems made of it: `generated` by the system's name.

    `notes` are short lines of text shown beside the name (key, tempo, a clip's own scores).
    """

    name: str
    mix: Sound
    real: Sound
    generated: Mapping[str, Sound]
    sample_rate: int = SAMPLE_RATE
    notes: tuple[str, ...] = ()

    @property
    def players(self) -> int:
        """How many players the example needs if all its audio can be read; at least one."""
        basses = sum(sound is not None for sound in (self.real, *self.generated.values()))
        return max(basses if self.mix is None else 1 + 2 * basses, 1)


@dataclasses.dataclass(frozen=True)
class _Track:
    label: str
    audio: np.ndarray | None
    remark: str = ""


def seconds_for(example: Example, budget: float, longest: float) -> float:
    """How many seconds of each player fit into `budget` bytes of the page, `longest` at most."""
    return min(longest, (budget / example.players - PICTURE_BYTES) / BYTES_PER_SECOND)


def example_article(example: Example, seconds: float) -> Markup:
    """The first `seconds` of an example; what is missing, silent, short or not finite is said in place of failing."""
    mix = _read("Mix", example.mix, example.sample_rate)
    basses = {"Real bass": example.real, **example.generated}
    loud = [_read(label, sound, example.sample_rate) for label, sound in basses.items()]
    rows = [[mix], *([bass, _together(mix, bass)] for bass in loud)]
    whole = max((t.audio.shape[1] for row in rows for t in row if t.audio is not None), default=0) / example.sample_rate
    # One gain for the whole example keeps the balance; the loudest sum stays below full scale.
    peaks = [np.abs(t.audio).max(initial=0) for row in rows for t in row if t.audio is not None]
    gain = _PEAK / max([_PEAK, *peaks])
    kept = round(seconds * example.sample_rate)
    figures = [element("div", *(_figure(track, gain, kept, example) for track in row), class_="tracks") for row in rows]
    length = f"first {seconds:.0f} of {whole:.1f} s" if whole > seconds else f"{whole:.1f} s"
    facts = element("p", " · ".join([length, *example.notes]), class_="detail")
    return element("article", element("h3", example.name), facts, *figures, class_="card example")


def _read(label: str, sound: Sound, sample_rate: int) -> _Track:
    if sound is None:
        return _Track(label, None, "not available")
    try:
        audio = np.asarray(sound() if callable(sound) else sound, dtype=np.float32)
    except (BadInputError, OSError) as error:
        return _Track(label, None, f"not available: {error}")
    if audio.ndim != 2 or audio.shape[0] not in (1, 2) or audio.shape[1] == 0:
        return _Track(label, None, f"not playable: audio of shape {audio.shape}")
    broken = int(np.count_nonzero(~np.isfinite(audio)))
    audio = np.nan_to_num(audio, nan=0.0, posinf=0.0, neginf=0.0)
    remarks = [f"{broken} samples are not finite, played as zero"] if broken else []
    if np.abs(audio).max() < _QUIET:
        remarks.append("silent")
    elif audio.shape[1] < 0.5 * sample_rate:
        remarks.append(f"only {1000 * audio.shape[1] / sample_rate:.0f} ms long")
    return _Track(label, audio, "; ".join(remarks))


def _together(mix: _Track, bass: _Track) -> _Track:
    label = f"Mix + {bass.label[0].lower()}{bass.label[1:]}" if bass.label == "Real bass" else f"Mix + {bass.label}"
    if mix.audio is None or bass.audio is None:
        return _Track(label, None, "not available")
    samples = max(mix.audio.shape[1], bass.audio.shape[1])
    return _Track(label, fit_length(mix.audio, samples) + fit_length(bass.audio, samples))


def _figure(track: _Track, gain: float, kept: int, example: Example) -> Markup:
    remark = element("span", track.remark, class_="remark") if track.remark else None
    caption = element("figcaption", element("span", track.label, class_="label"), remark)
    if track.audio is None:
        return element("figure", caption, class_="track missing")
    audio = (track.audio[:, :kept] * np.float32(gain)).astype(np.float32)
    name = f"{track.label}, {example.name}"
    picture = element(
        "img",
        src=spectrogram_uri(audio, example.sample_rate),
        width=WIDTH,
        height=HEIGHT,
        alt=f"Spectrogram of {name}: {LOWEST:.0f} Hz to {HIGHEST / 1000:.0f} kHz, {_length(audio, example)}",
    )
    ticks = [
        element("span", text, class_="tick", style=f"bottom:{100 * height_of(frequency):.1f}%")
        for frequency, text in _TICKS.items()
    ]
    scene = element("div", picture, element("div", *ticks, aria_hidden="true", class_="ticks"), class_="scene")
    player = element(
        "audio", src=audio_uri(audio, example.sample_rate), controls=True, preload="metadata", aria_label=name
    )
    return element("figure", caption, scene, player, class_="track")


def _length(audio: np.ndarray, example: Example) -> str:
    seconds = audio.shape[1] / example.sample_rate
    return f"{math.ceil(seconds)} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def run_examples(folders: Sequence[Path], count: int) -> list[Example]:
    """The first `count` clips of the runs, in the data's own order; audio is read when the example's turn comes.

    Runs on one data set share their examples. Where the data is gone or has changed the basses stand alone, and a
    warning says so.

    Raises:
        BadInputError: a folder holds no run.
    """
    runs = {folder: read_config(folder) for folder in folders}
    names = _distinct_names(runs)
    groups: dict[str, list[Path]] = {}
    for folder, config in runs.items():
        groups.setdefault(config.data_hash, []).append(folder)
    examples: list[Example] = []
    for members in groups.values():
        first = runs[members[0]]
        entries = _entries(first)
        flags = {folder: _gate_flags(folder) for folder in members}
        for clip in first.clips[: -(-count // len(groups))]:
            entry = entries.get(clip)
            pair = _Once(entry) if entry else None
            notes = [f"{names[folder]}: {flag}" for folder in members if (flag := flags[folder].get(clip))]
            generated = {names[folder]: _bass(folder, runs[folder], clip, entry) for folder in members}
            mix, real = (pair.mix, pair.real) if pair else (None, None)
            examples.append(Example(clip, mix, real, generated, notes=tuple(notes)))
    return examples[:count]


class _Once:
    """The two sides of one clip, which is loaded for the first and let go with the second."""

    def __init__(self, entry: ClipEntry) -> None:
        self._load = entry.load
        self._clip: Clip | None = None

    def mix(self) -> np.ndarray:
        self._clip = self._load()
        return self._clip.mix

    def real(self) -> np.ndarray:
        clip, self._clip = self._clip or self._load(), None
        return clip.bass


def _entries(config: RunConfig) -> dict[str, ClipEntry]:
    try:
        clips = open_clip_set(config.data, config.seconds).clips
    except BadInputError as error:
        warn_once(f"examples without mix and real bass: {error}")
        return {}
    wanted = set(config.clips)
    found = {entry.name: entry for entry in clips if entry.name in wanted}
    keys = [found[name].key for name in config.clips if name in found]
    if content_hash(*keys)[:8] != config.data_hash:
        warn_once(f"examples without mix and real bass: data '{config.data}' has changed since the run")
        return {}
    return found


def _bass(folder: Path, config: RunConfig, clip: str, entry: ClipEntry | None) -> Sound:
    where = Path(config.outputs) if config.outputs else folder / "audio"
    stems = [file_stem(clip)] + ([file_stem(entry.song)] if entry and config.outputs else [])
    paths = (where / f"{stem}{suffix}" for stem in stems for suffix in AUDIO_SUFFIXES)
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else functools.partial(read_audio, path)


def _gate_flags(folder: Path) -> dict[str, str]:
    rows = ClipRowStore(folder).read().values()
    return {row.clip: f"caught by the gate ({row.note})" for row in rows if row.metric == GATE.name and row.value == 0}


def _distinct_names(runs: dict[Path, RunConfig]) -> dict[Path, str]:
    systems = [config.system for config in runs.values()]
    return {
        folder: config.system if systems.count(config.system) == 1 else f"{config.system} ({folder.name})"
        for folder, config in runs.items()
    }
