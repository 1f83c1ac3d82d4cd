"""Examples for the page from run folders: the clips that the runs share, and what each system played for them."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import read_audio
from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import file_stem
from bassbench.metrics.registry import GATE
from bassbench.plugins import warn_once
from bassbench.report.listen import Example, Sound
from bassbench.songs.render import Clip
from bassbench.stems.files import AUDIO_SUFFIXES
from bassbench.suite.clip_set import ClipEntry, open_clip_set
from bassbench.suite.run_folder import ClipRowStore, RunConfig, read_config


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
