"""MUSDB18-HQ (Rafii et al., 2019, doi:10.5281/zenodo.3338373).

`train|test/TRACK/{mixture,bass,drums,other,vocals}.wav`. The mixture is the sum of the four stems and is not read.
"""

from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.stems.files import folders_below
from bassbench.stems.track import BASS, Track

SPLITS = ("train", "test")
STEMS = (BASS, "drums", "other", "vocals")


def find(root: Path) -> list[Path]:
    """Folders of the tracks; none if this is another layout."""
    folders = folders_below(root, *(f"{split}/*" for split in SPLITS))
    if not any((folder / "mixture.wav").is_file() and (folder / "other.wav").is_file() for folder in folders):
        return []
    return folders


def read(folder: Path, root: Path) -> Track:
    """One track.

    Raises:
        BadInputError: a stem is missing.
    """
    files = {role: folder / f"{role}.wav" for role in STEMS}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise BadInputError(f"{folder}: {', '.join(missing)} missing; a MUSDB18-HQ track has {', '.join(STEMS)}")
    name = folder.relative_to(root).as_posix()
    return Track(name, {role: (path,) for role, path in files.items()}, split=folder.parent.name)
