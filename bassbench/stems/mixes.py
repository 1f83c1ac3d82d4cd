"""A plain folder of recordings, nested as may be (MTG-Jamendo's `00/xxx.mp3`): for the mix autoencoder, no bass."""

from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.stems.files import AUDIO_SUFFIXES, NOT_READ, below
from bassbench.stems.track import Track


def find(root: Path) -> list[Path]:
    """All audio files below the folder, by suffix, sorted."""
    known = (*AUDIO_SUFFIXES, *NOT_READ)
    return [path for path in below(root, "**/*") if path.suffix.lower() in known and path.is_file()]


def read(file: Path, root: Path) -> Track:
    """One recording as a track with the single stem "mix".

    Raises:
        BadInputError: it is of a type that is not read.
    """
    if file.suffix.lower() in NOT_READ:
        raise BadInputError(f"{file}: not read; convert it to flac")
    return Track(file.relative_to(root).as_posix(), {"mix": (file,)})
