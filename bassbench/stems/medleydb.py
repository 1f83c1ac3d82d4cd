"""MedleyDB 1 and 2 (Bittner et al., ISMIR 2014).

`[Audio|V1|V2/]TRACK/TRACK_STEMS/TRACK_STEM_xx.wav` with TRACK_METADATA.yaml beside the stems' folder, or all metadata
in `Metadata/` as in the authors' repository. Under "stems" it gives each stem's "filename", "instrument" and
"component". The bass is what is played on an electric or double bass, or on a synthesizer whose component is "bass"
(the taxonomy has no label for a synth bass). Stems are summed as they are: the published mix was mastered on top.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bassbench.errors import BadInputError
from bassbench.stems.files import entry, folders_below, read_mapping
from bassbench.stems.roles import is_bass
from bassbench.stems.track import BASS, Track

_METADATA_FOLDERS = ("Metadata", "medleydb/data/Metadata")


def find(root: Path) -> list[Path]:
    """Folders of the tracks; none if this is another layout."""
    stems = folders_below(root, "*/*_STEMS", *(f"{name}/*/*_STEMS" for name in ("Audio", "V1", "V2")))
    return [path.parent for path in stems]


def read(folder: Path, root: Path) -> Track:
    """One track.

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
