"""The clips that systems are scored on, loaded one at a time: a split of the song bank, a folder, or a plug-in's."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import content_hash
from bassbench.errors import BadInputError, unknown_name
from bassbench.files import file_stem
from bassbench.plugins import DATASETS, load_plugin, plugins, warn_once
from bassbench.songs.clips import HUMAN_MASTERED, UNSEEN_FONT, cached_clip, clip_requests
from bassbench.songs.render import CLIP_SAMPLES, Clip
from bassbench.songs.song_bank import SPLITS
from bassbench.stems.layouts import Coverage, open_dataset
from bassbench.stems.windows import window_requests

BANK_SPLITS = (*SPLITS, UNSEEN_FONT, HUMAN_MASTERED)


@dataclass(frozen=True)
class ClipEntry:
    """One clip before it is loaded: its name (also of its wav file), its song, and a hash of all its content."""

    name: str
    song: str
    key: str
    load: Callable[[], Clip]


@dataclass(frozen=True)
class ClipSet:
    """Clips in a fixed order, of which the first n are a fair sample; clips of one song are not independent."""

    name: str
    clips: tuple[ClipEntry, ...]
    left_out: str = ""
    """What the data have and the clips do not, and why, in one line; "" if nothing."""

    def __post_init__(self) -> None:
        names: dict[str, str] = {}
        for clip in self.clips:
            # Names of files: what is kept of one clip must not be taken for another's, wherever case does not count.
            if (same := names.setdefault(file_stem(clip.name).casefold(), clip.name)) != clip.name:
                raise BadInputError(
                    f"data '{self.name}': clips '{same}' and '{clip.name}' would share a file; give each its own name"
                )
        if len(names) < len(self.clips):
            twice = next(name for name, count in Counter(clip.name for clip in self.clips).items() if count > 1)
            raise BadInputError(f"data '{self.name}': two clips are called '{twice}'; give each its own name")

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits of the content of all clips."""
        return content_hash(*(clip.key for clip in self.clips))[:8]


@dataclass(frozen=True)
class Parts:
    """A clip set in two parts that share no song: what is scored, and the real basses that sets are compared with."""

    evaluated: tuple[ClipEntry, ...]
    reference: tuple[ClipEntry, ...]


def open_clip_set(data: str, seconds: float | None = None) -> ClipSet:
    """The clips of a split of the song bank, of a plug-in dataset, or of a folder that `bassbench.stems` can read.

    Of a folder one window a track is taken, `seconds` long (None: 23.8), of its test split if it has one.

    Raises:
        BadInputError: none of these, or it cannot be read.
    """
    if seconds is not None and (data in BANK_SPLITS or not 1 <= seconds <= 3600):
        raise BadInputError("--seconds takes 1 to 3600, and only for a folder of stems; other data has its own lengths")
    if data in BANK_SPLITS:
        return _bank(data)
    added = plugins(DATASETS)
    if data in added:
        found = load_plugin(added[data])
        made = found if isinstance(found, ClipSet) else _called(data, found)
        if not isinstance(made, ClipSet):
            raise BadInputError(
                f"dataset '{data}' gave a {type(made).__name__}, expected a bassbench.suite.clip_set.ClipSet"
            )
        return made
    if not Path(data).exists():
        raise unknown_name("data", data, [*BANK_SPLITS, *added], "a folder of stems")
    return _folder(Path(data), seconds)


def parts(data: ClipSet, clips: int | None, reference: int | None) -> Parts:
    """The first `clips` of a set to be scored, and up to `reference` of what follows, of other songs, to compare with.

    By default 48 clips or half of the set are scored, whichever is less, against 96 others or what there is.

    Raises:
        BadInputError: fewer than two songs, or a count that the set does not have.
    """
    total = len(data.clips)
    if len({clip.song for clip in data.clips}) < 2:
        raise BadInputError(f"data '{data.name}' has {total} clips of one song; at least two songs are needed")
    count = max(2, min(48, total // 2)) if clips is None else clips
    if not 2 <= count <= total:
        raise BadInputError(f"--clips takes 2 to {total} for data '{data.name}', got {count}")
    evaluated = data.clips[:count]
    songs = {clip.song for clip in evaluated}
    if len(songs) < 2:
        raise BadInputError(f"the first {count} clips of '{data.name}' are of one song; raise --clips")
    others = tuple(clip for clip in data.clips[count:] if clip.song not in songs)
    wanted = min(96, len(others)) if reference is None else reference
    if not 0 <= wanted <= len(others):
        raise BadInputError(
            f"--reference-clips takes at most {len(others)} for data '{data.name}': the clips of other songs than the "
            f"{count} scored; lower --clips or --reference-clips"
        )
    return Parts(evaluated, others[:wanted])


def _bank(split: str) -> ClipSet:
    entries = (
        ClipEntry(f"{request.song.name}-{request.seed}", request.song.name, request.key, partial(cached_clip, request))
        for request in clip_requests(split)
    )
    return ClipSet(split, tuple(entries))


def _called(name: str, make: object) -> object:
    if not callable(make):
        return make
    try:
        return make()
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:
        raise BadInputError(f"dataset '{name}' cannot be opened ({type(error).__name__}: {error})") from error


def _folder(path: Path, seconds: float | None) -> ClipSet:
    dataset = open_dataset(path)
    if dataset.has_split("test"):
        dataset = dataset.split("test")
    samples = CLIP_SAMPLES if seconds is None else round(seconds * SAMPLE_RATE)
    coverage = Coverage.of_pairs(dataset)
    requests = list(window_requests(dataset, samples, coverage=coverage))
    if not requests:
        raise BadInputError(f"{path}: {coverage}; mend the files or lower --seconds")
    for track in dataset.pairs:
        for note in track.notes:
            warn_once(f"{track.name}: {note}")
    # A fixed shuffle, so that the first n are a sample of the whole.
    order = np.random.default_rng(2402).permutation(len(requests))
    entries = (ClipEntry(r.name, r.track.name, r.key, r.render) for r in (requests[i] for i in order))
    return ClipSet(path.resolve().name, tuple(entries), str(coverage))
