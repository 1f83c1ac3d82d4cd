"""Which layout is this?  `open_dataset(path)` finds out and reads the list of tracks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.files import file_stem
from bassbench.stems import folders, published
from bassbench.stems.files import folders_below
from bassbench.stems.track import BASS, Track


@dataclass(frozen=True)
class Layout:
    """How tracks are found below a folder, and how one is read; `find` gives nothing where the layout is another."""

    find: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Track]


_SHOWN = 3  # names in a line

# The first that finds tracks is taken: the last two would find some in most of the others.
LAYOUTS: dict[str, Layout] = {
    "Slakh2100": Layout(published.find_slakh, published.read_slakh),
    "MoisesDB": Layout(published.find_moisesdb, published.read_moisesdb),
    "MedleyDB": Layout(published.find_medleydb, published.read_medleydb),
    "MUSDB18-HQ": Layout(published.find_musdb, published.read_musdb),
    "folders of stems": Layout(folders.find_stems, folders.read_stems),
    "folder of mixes": Layout(folders.find_mixes, folders.read_mixes),
}


@dataclass(frozen=True)
class StemDataset:
    """Tracks in a fixed order, under names of their own, and what is wrong with those that could not be listed.

    `problems` has one line for each of these, `unlisted` their places.
    """

    path: Path
    layout: str
    tracks: tuple[Track, ...]
    problems: tuple[str, ...] = ()
    unlisted: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> Track:
        return self.tracks[index]

    @property
    def pairs(self) -> tuple[Track, ...]:
        """The tracks with both a bass and something else."""
        return tuple(track for track in self.tracks if track.is_pair)

    def has_split(self, name: str) -> bool:
        """Whether a track is in this published split, be it one that cannot be listed."""
        return any(track.split == name for track in self.tracks) or any(
            place.parent.name == name for place in self.unlisted
        )

    def split(self, name: str) -> "StemDataset":
        """The tracks of one published split.

        Raises:
            BadInputError: no track is in it.
        """
        tracks = tuple(track for track in self.tracks if track.split == name)
        if not tracks:
            there = ", ".join(sorted({track.split for track in self.tracks if track.split})) or "none"
            why = next((f" ({line})" for line, place in self._unlisted() if place.parent.name == name), "")
            raise BadInputError(f"{self.path}: no track in a split '{name}'{why}; there are: {there}")
        others = {*published.MUSDB_SPLITS, *published.SLAKH_SPLITS, *folders.SPLITS} - {name}
        kept = [(line, place) for line, place in self._unlisted() if place.parent.name not in others]
        problems, unlisted = tuple(line for line, _ in kept), tuple(place for _, place in kept)
        return StemDataset(self.path, self.layout, tracks, problems, unlisted)

    def _unlisted(self) -> Iterator[tuple[str, Path]]:
        return zip(self.problems, self.unlisted, strict=True)


@dataclass
class Coverage:
    """Which tracks of a dataset are not used, and why: said in one line, never passed over in silence.

    Tracks in all, and the reason for each that is left out, by name; what goes through the tracks adds to it.
    """

    total: int
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: StemDataset) -> "Coverage":
        """What of a dataset is left out before any audio is read: tracks that cannot be listed."""
        total = len(dataset) + len(dataset.unlisted)
        names = [place.relative_to(dataset.path).as_posix() for place in dataset.unlisted]
        return cls(total, dict(zip(names, dataset.problems, strict=True)))

    @classmethod
    def of_pairs(cls, dataset: StemDataset) -> "Coverage":
        """As `of`, and the tracks that are no pair of mix and bass."""
        coverage = cls.of(dataset)
        for track in dataset.tracks:
            if not track.is_pair:
                why = "no mix without the bass" if BASS in track.stems else "no bass"
                coverage.left_out[track.name] = "; ".join([why, *track.notes])
        return coverage

    def __str__(self) -> str:
        """ "2 of 5 tracks left out: a, b (no bass)"; "" where all are used."""
        if not self.left_out:
            return ""
        names: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names.setdefault(reason, []).append(name)
        each = [f"{_some(its)} ({reason})" for reason, its in names.items()]
        return f"{len(self.left_out)} of {self.total} tracks left out: {_some(each, '; ')}"


def open_dataset(path: str | Path) -> StemDataset:
    """List the tracks of a dataset on disk, whichever layout of `LAYOUTS` it has.

    Of audio a few seconds are read where only the sound can tell a mix from a stem (folders of stems). Tracks whose
    names would give one file name ("a/t0" and "a_t0") are told apart by a number.

    Raises:
        BadInputError: no folder, no known layout, the folder above a dataset, or not one track can be listed.
    """
    root = Path(path)
    if not root.is_dir():
        raise BadInputError(f"{root}: not a folder; give the top folder of a dataset")
    try:
        name, places = _found(root)
        if name in ("", "folder of mixes"):
            _refuse_one_too_high(root, places)
    except OSError as error:
        raise BadInputError(f"{root}: cannot list the folder ({error.strerror})") from None
    if not places:
        known = ", ".join(LAYOUTS)
        raise BadInputError(f"{root}: no dataset of stems or mixes found; known layouts: {known}{_hint(root)}")
    tracks, problems, unlisted = [], [], []
    for place in places:
        try:
            tracks.append(LAYOUTS[name].read(place, root))
        except BadInputError as error:
            problems.append(str(error))
            unlisted.append(place)
    if not tracks:
        raise BadInputError(f"{root}: looks like {name}, but no track can be read; the first: {problems[0]}")
    return StemDataset(root, name, _named_apart(tracks), tuple(problems), tuple(unlisted))


def _found(root: Path) -> tuple[str, list[Path]]:
    return next(((name, places) for name, it in LAYOUTS.items() if (places := it.find(root))), ("", []))


def _refuse_one_too_high(root: Path, files: list[Path]) -> None:
    """Raise BadInputError if most of the audio files below a folder lie in datasets of stems one or two levels down."""
    below: dict[Path, str] = {}
    for folder in folders_below(root, "*", "*/*"):
        if not any(folder.is_relative_to(known) for known in below):
            name, _ = _found(folder)
            if name not in ("", "folder of mixes"):
                below[folder] = name
    inside = sum(any(file.is_relative_to(folder) for folder in below) for file in files)
    if below and 2 * inside >= len(files):
        folder, name = next(iter(below.items()))
        more = f", or to another of {len(below)} such folders" if len(below) > 1 else ""
        raise BadInputError(f"{root}: the folder above a dataset; point to {folder} ({name}){more}")


def _named_apart(tracks: list[Track]) -> tuple[Track, ...]:
    taken: set[str] = set()
    named = []
    for track in tracks:
        name, number = track.name, 1
        while (stem := file_stem(name).casefold()) in taken:
            number += 1
            name = f"{track.name} ({number})"
        taken.add(stem)
        named.append(replace(track, name=name))
    return tuple(named)


def _hint(root: Path) -> str:
    if next(root.glob("*.tar"), None):
        return " (these tar files look like shards: bassbench.stems.shards reads them)"
    if next(root.glob("*/*.stem.mp4"), None):
        return " (these are MUSDB18's .stem.mp4 files: get the HQ version, or decode them with musdb)"
    return ""


def _some(names: list[str], comma: str = ", ") -> str:
    more = len(names) - _SHOWN
    return comma.join(names[:_SHOWN]) + (f"{comma}{more} more" if more > 0 else "")
