"""Which layout is this?  `open_dataset(path)` finds out and reads the list of tracks, no audio yet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bassbench.bad_input import BadInputError
from bassbench.stems import folders, medleydb, mixes, moisesdb, musdb, slakh
from bassbench.stems.track import Track


@dataclass(frozen=True)
class Layout:
    """How tracks are found below a folder, and how one is read; `find` gives nothing where the layout is another."""

    find: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Track]


# The first that finds tracks is taken: the last two would find some in most of the others.
LAYOUTS: dict[str, Layout] = {
    "Slakh2100": Layout(slakh.find, slakh.read),
    "MoisesDB": Layout(moisesdb.find, moisesdb.read),
    "MedleyDB": Layout(medleydb.find, medleydb.read),
    "MUSDB18-HQ": Layout(musdb.find, musdb.read),
    "folders of stems": Layout(folders.find, folders.read),
    "folder of mixes": Layout(mixes.find, mixes.read),
}


@dataclass(frozen=True)
class StemDataset:
    """Tracks in a fixed order, and what is wrong with those that could not be listed (one line each)."""

    path: Path
    layout: str
    tracks: tuple[Track, ...]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> Track:
        return self.tracks[index]

    @property
    def pairs(self) -> tuple[Track, ...]:
        """The tracks with both a bass and something else."""
        return tuple(track for track in self.tracks if track.is_pair)

    def split(self, name: str) -> "StemDataset":
        """The tracks of one published split.

        Raises:
            BadInputError: no track is in it.
        """
        tracks = tuple(track for track in self.tracks if track.split == name)
        if not tracks:
            known = sorted({track.split for track in self.tracks if track.split}) or ["none"]
            raise BadInputError(f"{self.path}: no track in a split '{name}'; there are: {', '.join(known)}")
        return StemDataset(self.path, self.layout, tracks, self.problems)


def open_dataset(path: str | Path) -> StemDataset:
    """List the tracks of a dataset on disk, whichever layout of `LAYOUTS` it has.

    Raises:
        BadInputError: no folder, no known layout, or not one track of it can be listed.
    """
    root = Path(path)
    if not root.is_dir():
        raise BadInputError(f"{root}: not a folder; give the top folder of a dataset")
    try:
        name, places = next(((name, places) for name, it in LAYOUTS.items() if (places := it.find(root))), ("", []))
    except OSError as error:
        raise BadInputError(f"{root}: cannot list the folder ({error.strerror})") from None
    if not places:
        known = ", ".join(LAYOUTS)
        raise BadInputError(f"{root}: no dataset of stems or mixes found; known layouts: {known}{_hint(root)}")
    tracks, problems = [], []
    for place in places:
        try:
            tracks.append(LAYOUTS[name].read(place, root))
        except BadInputError as error:
            problems.append(str(error))
    if not tracks:
        raise BadInputError(f"{root}: looks like {name}, but no track can be read; the first: {problems[0]}")
    return StemDataset(root, name, tuple(tracks), tuple(problems))


def _hint(root: Path) -> str:
    if next(root.glob("*.tar"), None):
        return " (these tar files look like shards: bassbench.shards reads them)"
    if next(root.glob("*/*.stem.mp4"), None):
        return " (these are MUSDB18's .stem.mp4 files: get the HQ version, or decode them with musdb)"
    return ""
