"""Slakh2100 (Manilow et al., WASPAA 2019), its redux and babyslakh.

`[train|validation|test|omitted/]TrackXXXXX/{mix.flac, metadata.yaml, stems/Sxx.flac, MIDI/Sxx.mid, all_src.mid}`, wav
in babyslakh. metadata.yaml gives each stem's "inst_class"; the stems of class "Bass" are the bass, every other stem is
one of its own ("S01 drums"). The stems carry the gain they have in the mix. Stems without a file (sound effects that
were never rendered) are left out unless the metadata says that they were rendered.
"""

from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.stems.files import entry, folders_below, read_mapping
from bassbench.stems.track import BASS, Track

SPLITS = ("train", "validation", "test", "omitted")


def find(root: Path) -> list[Path]:
    """Folders of the tracks; none if this is another layout."""
    folders = folders_below(root, "Track*", *(f"{split}/Track*" for split in SPLITS))
    return folders if any((folder / "metadata.yaml").is_file() for folder in folders) else []


def read(folder: Path, root: Path) -> Track:
    """One track.

    Raises:
        BadInputError: metadata.yaml is damaged, or a stem that was rendered is missing.
    """
    where = folder / "metadata.yaml"
    metadata = read_mapping(where)
    stems: dict[str, tuple[Path, ...]] = {}
    midi: dict[str, tuple[Path, ...]] = {}
    for name, stem in sorted(entry(metadata, "stems", dict, where).items()):
        instrument = entry(stem, "inst_class", str, where)
        role = BASS if instrument == "Bass" else f"{name} {instrument.lower()}"
        files = [folder / "stems" / f"{name}{suffix}" for suffix in (".flac", ".wav")]
        file = next((path for path in files if path.is_file()), None)
        if file is None:
            if stem.get("audio_rendered"):
                raise BadInputError(f"{files[0]}: missing, though {where.name} says it was rendered")
            continue
        stems[role] = (*stems.get(role, ()), file)
        notes = folder / "MIDI" / f"{name}.mid"
        if notes.is_file():
            midi[role] = (*midi.get(role, ()), notes)
    if not stems:
        raise BadInputError(f"{folder}: none of the stems that {where.name} lists is in stems/")
    split = folder.parent.name if folder.parent != root else None
    return Track(folder.relative_to(root).as_posix(), stems, split=split, midi=midi)
