"""MoisesDB (Pereira et al., ISMIR 2023): `[PROVIDER/]UUID/data.json` and `[PROVIDER/]UUID/STEM/UUID.EXTENSION`.

data.json lists under "stems" each stem's "stemName" and its "tracks" with "id", "trackType" and "extension", as the
authors' package moisesdb reads them. The stem "bass" is taken as published: with bass guitar, synthesiser and double
bass it may hold tuba or bassoon.
"""

from pathlib import Path

from bassbench.stems.files import below, entry, read_mapping
from bassbench.stems.track import Track


def find(root: Path) -> list[Path]:
    """Folders of the tracks; none if this is another layout."""
    return sorted({path.parent for path in below(root, "*/data.json", "*/*/data.json")})


def read(folder: Path, root: Path) -> Track:
    """One track.

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
