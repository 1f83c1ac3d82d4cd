"""The layouts that data sets are published in; for each, how tracks are found below a folder and how one is read.

**Slakh2100** (Manilow et al., WASPAA 2019), its redux and babyslakh:
`[train|validation|test|omitted/]TrackXXXXX/{mix.flac, metadata.yaml, stems/Sxx.flac, MIDI/Sxx.mid, all_src.mid}`, wav
in babyslakh. metadata.yaml gives each stem's "inst_class"; the stems of class "Bass" are the bass, every other stem is
one of its own ("S01 drums"). The stems carry the gain they have in the mix. Stems without a file (sound effects that
were never rendered) are left out unless the metadata says that they were rendered.

**MoisesDB** (Pereira et al., ISMIR 2023): `[PROVIDER/]UUID/data.json` and `[PROVIDER/]UUID/STEM/UUID.EXTENSION`.
data.json lists under "stems" each stem's "stemName" and its "tracks" with "id", "trackType" and "extension", as the
authors' package moisesdb reads them. The stem "bass" is taken as published: with bass guitar, synthesiser and double
bass it may hold tuba or bassoon.

**MedleyDB** 1 and 2 (Bittner et al., ISMIR 2014):
`[Audio|V1|V2/]TRACK/TRACK_STEMS/TRACK_STEM_xx.wav` with TRACK_METADATA.yaml beside the stems' folder, or all metadata
in `Metadata/` as in the authors' repository. Under "stems" it gives each stem's "filename", "instrument" and
"component". The bass is what is played on an electric or double bass, or on a synthesizer whose component is "bass"
(the taxonomy has no label for a synth bass). Stems are summed as they are: the published mix was mastered on top.

**MUSDB18-HQ** (Rafii et al., 2019, doi:10.5281/zenodo.3338373):
`train|test/TRACK/{mixture,bass,drums,other,vocals}.wav`. The mixture is the sum of the four stems and is not read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bassbench.errors import BadInputError
from bassbench.stems.files import below, entry, folders_below, read_mapping
from bassbench.stems.roles import is_bass
from bassbench.stems.track import BASS, Track

SLAKH_SPLITS = ("train", "validation", "test", "omitted")
_METADATA_FOLDERS = ("Metadata", "medleydb/data/Metadata")
MUSDB_SPLITS = ("train", "test")
_MUSDB_STEMS = (BASS, "drums", "other", "vocals")


def find_slakh(root: Path) -> list[Path]:
    """Folders of the tracks of Slakh2100; none if this is another layout."""
    folders = folders_below(root, "Track*", *(f"{split}/Track*" for split in SLAKH_SPLITS))
    return folders if any((folder / "metadata.yaml").is_file() for folder in folders) else []


def read_slakh(folder: Path, root: Path) -> Track:
    """One track of Slakh2100.

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


def find_moisesdb(root: Path) -> list[Path]:
    """Folders of the tracks of MoisesDB; none if this is another layout."""
    return sorted({path.parent for path in below(root, "*/data.json", "*/*/data.json")})


def read_moisesdb(folder: Path, root: Path) -> Track:
    """One track of MoisesDB.

    Raises:
        BadInputError: data.json is damaged or lacks a field.
    """
    where = folder / "data.json"
    stems: dict[str, tuple[Path, ...]] = {}
    for stem in entry(read_mapping(where), "stems", list, where):
        role = entry(stem, "stemName", str, where)
        files = tuple(
            folder / role / f"{entry(part, 'id', str, where)}.{entry(part, 'extension', str, where)}"
            for part in entry(stem, "tracks", list, where)
        )
        if files:
            stems[role] = stems.get(role, ()) + files
    return Track(folder.relative_to(root).as_posix(), stems)


def find_medleydb(root: Path) -> list[Path]:
    """Folders of the tracks of MedleyDB; none if this is another layout."""
    stems = folders_below(root, "*/*_STEMS", *(f"{name}/*/*_STEMS" for name in ("Audio", "V1", "V2")))
    return [path.parent for path in stems]


def read_medleydb(folder: Path, root: Path) -> Track:
    """One track of MedleyDB.

    Raises:
        BadInputError: there is no metadata, or it is damaged.
    """
    file = f"{folder.name}_METADATA.yaml"
    homes = [folder, *(place / name for place in (root, root.parent) for name in _METADATA_FOLDERS)]
    where = next((home / file for home in homes if (home / file).is_file()), None)
    if where is None:
        raise BadInputError(f"{folder}: no {file}, neither here nor in {root / 'Metadata'}; get it from the authors")
    metadata = read_mapping(where)
    directory = folder / str(metadata.get("stem_dir", f"{folder.name}_STEMS"))
    stems: dict[str, tuple[Path, ...]] = {}
    for name, stem in sorted(entry(metadata, "stems", dict, where).items()):
        path = directory / entry(stem, "filename", str, where)
        role = BASS if _is_bass(stem) else f"{name} {', '.join(_instruments(stem))}"
        stems[role] = (*stems.get(role, ()), path)
    return Track(folder.relative_to(root).as_posix(), stems)


def _instruments(stem: Mapping[str, Any]) -> list[str]:
    value = stem.get("instrument", "")
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _is_bass(stem: Mapping[str, Any]) -> bool:
    instruments = _instruments(stem)
    if set(instruments) == {"synthesizer"}:
        return stem.get("component") == "bass"
    return bool(instruments) and all(map(is_bass, instruments))


def find_musdb(root: Path) -> list[Path]:
    """Folders of the tracks of MUSDB18-HQ; none if this is another layout."""
    folders = folders_below(root, *(f"{split}/*" for split in MUSDB_SPLITS))
    if not any((folder / "mixture.wav").is_file() and (folder / "other.wav").is_file() for folder in folders):
        return []
    return folders


def read_musdb(folder: Path, root: Path) -> Track:
    """One track of MUSDB18-HQ.

    Raises:
        BadInputError: a stem is missing.
    """
    files = {role: folder / f"{role}.wav" for role in _MUSDB_STEMS}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise BadInputError(f"{folder}: {', '.join(missing)} missing; a MUSDB18-HQ track has {', '.join(_MUSDB_STEMS)}")
    name = folder.relative_to(root).as_posix()
    return Track(name, {role: (path,) for role, path in files.items()}, split=folder.parent.name)
