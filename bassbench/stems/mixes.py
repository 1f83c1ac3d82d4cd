"""A plain folder of recordings, nested as may be (MTG-Jamendo's `00/xxx.mp3`): for the mix autoencoder, no bass."""

from pathlib import Path

from bassbench.stems.reading import AUDIO_SUFFIXES
from bassbench.stems.track import Track


def find(root: Path) -> list[Path]:
    """All audio files below the folder, by suffix, sorted; hidden ones left out."""
    files = (path for path in root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    return sorted(path for path in files if path.is_file() and not path.name.startswith("."))


def read(file: Path, root: Path) -> Track:
    """One recording as a track with the single stem "mix"."""
    return Track(file.relative_to(root).as_posix(), {"mix": (file,)})
