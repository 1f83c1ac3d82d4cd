"""Any folder of `[SPLIT/]TRACK/STEM.(wav|flac|mp3|ogg)`: a stem is named by its file.

A file whose name has the word "bass" ("bass.wav", "03 Bass DI.flac"), but not "bass drum" or "bass clarinet", belongs
to the bass. "mixture" is taken for the sum of the others and left out; "mix" is a stem, as in the folders that
`python -m bassbench data render` and other systems write.
"""

import re
from pathlib import Path

from bassbench.stems.reading import AUDIO_SUFFIXES
from bassbench.stems.track import BASS, Track

SPLITS = ("train", "valid", "validation", "test")
_BASS = re.compile(r"(?<![a-z])bass(?![a-z])(?![ _-]*(drum|clarinet|trombone|flute|sax))")


def is_bass(name: str) -> bool:
    """Whether a file of this name (without suffix) is a bass by its name."""
    return bool(_BASS.search(name.lower()))


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in a folder, by suffix, sorted; hidden ones left out."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES)


def find(root: Path) -> list[Path]:
    """Folders of the tracks; none unless most folders with audio have a bass among two files or more."""
    folders = [root, *sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_dir())]
    names = {folder: [path.stem for path in audio_files(folder)] for folder in folders}
    tracks = [folder for folder in folders if names[folder]]
    with_bass = [folder for folder in tracks if len(names[folder]) > 1 and any(map(is_bass, names[folder]))]
    return tracks if 2 * len(with_bass) > len(tracks) else []


def read(folder: Path, root: Path) -> Track:
    """One track."""
    files = audio_files(folder)
    parts = [path for path in files if path.stem.lower() != "mixture"] or files
    stems: dict[str, tuple[Path, ...]] = {}
    for path in parts:
        role = BASS if is_bass(path.stem) else path.stem
        stems[role] = (*stems.get(role, ()), path)
    name = folder.name if folder == root else folder.relative_to(root).as_posix()
    return Track(name, stems, split=folder.parent.name if folder.parent.name in SPLITS else None)
