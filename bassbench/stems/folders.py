"""Any folder of `[SPLIT/]TRACK/STEM.wav` (or another format that is read): a stem is named by its file.

`bassbench.stems.roles` says which names are basses and which are mixes. A file that is the sum of its neighbours, by
its name or by its sound, is left out and noted; where there is nothing but a bass and a mix without it, they are the
pair, as in the folders that `python -m bassbench data render` and separators of two stems write. A folder with the
stems of several songs side by side ("1_Song_(Bass).wav", as UVR writes them) becomes a track a song.

A folder of recordings without stems, nested as may be (MTG-Jamendo's `00/xxx.mp3`), will do for the mix autoencoder.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.stems.files import (
    AUDIO_SUFFIXES,
    NOT_READ,
    audio_files,
    below,
    files_not_read,
    folders_below,
    read_header,
    read_window,
)
from bassbench.stems.roles import Kind, kinds
from bassbench.stems.track import BASS, Track

SPLITS = ("train", "valid", "validation", "test")
# What separators call what they write.
_SEPARATED = "(?:no[ _-]?)?(?:bass|drums|vocals|other|guitar|piano|instrumental|accompaniment|mixture|mix)"
_CONVERT = "not read; convert it to flac"
_IN_BRACKETS = re.compile(rf"(?P<song>.*?)[ _-]*\((?P<stem>{_SEPARATED})\)[^()]*", re.I)
_AT_THE_END = re.compile(rf"(?P<song>.*?[^\W\d_].*?)[ _.-]+(?P<stem>{_SEPARATED})", re.I)
# A sum is told by a few seconds, spread over the files. Gains are free, a master's equaliser or limiter is not undone:
# what is left of the file when its best share of the sum is taken off may be a tenth of its power.
_PLACES = 12
_LEFT = 0.1  # share of the power that may be left
_ALONE = 3.0  # how much more any single file must leave: two microphones of one drum are no sum
_SAME_LEVEL = (0.8, 1.25)


def find_stems(root: Path) -> list[Path]:
    """Folders of the tracks, or `FOLDER/SONG` where one has the stems of several songs.

    None unless most folders with audio have a bass among two files or more.
    """
    folders = [root, *folders_below(root, "*", "*/*")]
    names = {folder: [path.stem for path in audio_files(folder)] for folder in folders}
    unread = {folder: [path.stem for path in files_not_read(folder)] for folder in folders}
    with_bass = {folder for folder in folders if _has_bass(names[folder] + unread[folder])}
    tracks = [folder for folder in folders if names[folder] or folder in with_bass]
    if 2 * len(with_bass) <= len(tracks):
        return []
    return [place for folder in tracks for place in _places(folder)]


def read_stems(place: Path, root: Path) -> Track:
    """One track.

    Raises:
        BadInputError: the files are of several songs, one stem is there in two formats, or none can be read.
    """
    folder = place if place.is_dir() else place.parent
    files, unread = audio_files(folder), files_not_read(folder)
    songs = _songs(files)
    if folder != place:
        files, unread = songs[place.name], [path for path in unread if path.stem.startswith(place.name)]
    elif len(songs) > 1:
        shown = ", ".join(sorted(songs)[:3])
        raise BadInputError(f"{folder}: stems of several songs ({shown}) beside other files; make a folder for each")
    if not files:
        raise BadInputError(f"{unread[0]}: {_CONVERT}")
    stems, notes = _stems(files)
    name = place.name if place == root else place.relative_to(root).as_posix()
    parents = () if place == root else (root.name, *place.parent.relative_to(root).parts)
    split = next((part for part in reversed(parents) if part in SPLITS), None)
    return Track(name, stems, split=split, notes=(*notes, *(f"{path.name}: {_CONVERT}" for path in unread)))


def _has_bass(names: list[str]) -> bool:
    return len(names) > 1 and Kind.BASS in kinds(names)


def _places(folder: Path) -> list[Path]:
    files = audio_files(folder)
    songs = _songs(files)
    whole = len(songs) > 1 and sum(map(len, songs.values())) == len(files)
    whole = whole and not any((folder / song).is_dir() for song in songs)  # it would be read in their place
    return [folder / song for song in sorted(songs)] if whole else [folder]


def _songs(files: list[Path]) -> dict[str, list[Path]]:
    """Files by song, where their names say song and stem; one song or none if these are the stems of one.

    "(Bass)" is a stem for certain. "Song_bass" might be "Synth_bass" of one song: at least two songs must have a bass
    and something else.
    """
    for pattern, certain in ((_IN_BRACKETS, True), (_AT_THE_END, False)):
        songs: dict[str, list[Path]] = {}
        basses: dict[str, int] = {}
        for path in files:
            if found := pattern.fullmatch(path.stem):
                song = re.sub(r"[ _-]*\([^()]*\)$", "", found["song"]) or path.parent.name
                songs.setdefault(song, []).append(path)
                basses[song] = basses.get(song, 0) + (found["stem"].lower() == "bass")
        if certain and any(basses.values()):
            return songs
        if sum(len(its) > 1 and basses[song] == 1 for song, its in songs.items()) > 1:
            return songs
    return {}


def _stems(files: list[Path]) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """Files by role, and what is to be said of those that are left out."""
    by_name: dict[str, Path] = {}
    for path in files:
        if (same := by_name.setdefault(path.stem.lower(), path)) != path:
            raise BadInputError(f"{path}: there is {same.name} too, and they would be added up; keep one file a stem")
    what = dict(zip(files, kinds([path.stem for path in files]), strict=True))
    of = {kind: [path for path in files if what[path] is kind] for kind in Kind}
    notes: list[str] = []
    parts = of[Kind.PART]
    if not parts or (len(parts) == 1 and of[Kind.WITHOUT_BASS]):
        # No stems but mixes: of these one, and beside a bass none that has it.
        fit = of[Kind.WITHOUT_BASS] + of[Kind.MIX]
        if not of[Kind.BASS]:
            fit = of[Kind.WITH_BASS] + fit
        parts = fit[:1]
    if (mix := _mix_by_sound(of[Kind.BASS], parts)) is not None:
        parts = [path for path in parts if path != mix]
        notes.append(f"{mix.name} left out: by its sound a mix with the bass")
    rest = [path for path in files if what[path] is not Kind.BASS and path not in (*parts, mix)]
    notes += [f"{path.name} left out: {what[path].value} by its name" for path in rest if what[path] is not Kind.PART]
    notes += [f"{path.name} left out: part of {parts[0].name}" for path in rest if what[path] is Kind.PART and parts]
    stems = {path.stem: (path,) for path in parts}
    return ({BASS: tuple(of[Kind.BASS])} if of[Kind.BASS] else {}) | stems, notes


def _mix_by_sound(basses: list[Path], parts: list[Path]) -> Path | None:
    """The part that is the sum of all files, or holds the bass where there are no others."""
    try:
        if len(basses) == len(parts) == 1:
            return parts[0] if _holds(parts[0], basses[0]) else None
        found = _sum_among([*basses, *parts])
    except BadInputError:
        return None  # the file will be named when it is used
    return found if found in parts else None


def find_mixes(root: Path) -> list[Path]:
    """All audio files below the folder, by suffix, sorted."""
    known = (*AUDIO_SUFFIXES, *NOT_READ)
    return [path for path in below(root, "**/*") if path.suffix.lower() in known and path.is_file()]


def read_mixes(file: Path, root: Path) -> Track:
    """One recording as a track with the single stem "mix".

    Raises:
        BadInputError: it is of a type that is not read.
    """
    if file.suffix.lower() in NOT_READ:
        raise BadInputError(f"{file}: {_CONVERT}")
    return Track(file.relative_to(root).as_posix(), {"mix": (file,)})


def _sum_among(files: Sequence[Path]) -> Path | None:
    """The file that is about the sum of all the others, if there are at least two others.

    Raises:
        BadInputError: a file cannot be read.
    """
    if len(files) < 3:
        return None
    audio = _seconds_of(files)
    powers = np.square(audio).sum(axis=1)
    total = audio.sum(axis=0)
    for index in np.argsort(powers)[::-1]:
        if not powers[index]:
            return None
        others = [i for i in range(len(files)) if i != index]
        together = _left(audio[index], total - audio[index])
        if together <= _LEFT and min(_left(audio[index], audio[i]) for i in others) > _ALONE * together + 0.02:
            return files[index]
    return None


def _holds(mix: Path, part: Path) -> bool:
    """Whether a mix has a part in it as loud as in the part's own file: at most of the places where the part sounds.

    Raises:
        BadInputError: a file cannot be read.
    """
    places = _seconds_of([mix, part]).reshape(2, _PLACES, -1)
    power = np.square(places[1]).sum(axis=1)
    sounding = power > 1e-3 * power.max()
    if not power.max():
        return False
    share = (places[0] * places[1]).sum(axis=1)[sounding] / power[sounding]
    return bool(np.mean((share > _SAME_LEVEL[0]) & (share < _SAME_LEVEL[1])) > 0.75)


def _seconds_of(files: Sequence[Path]) -> np.ndarray:
    """Mono seconds at even places of the files: `(files, samples)`, float64."""
    last = max(read_header(path).samples for path in files) - SAMPLE_RATE
    starts = np.linspace(0, max(last, 0), _PLACES).astype(int)
    return np.array(
        [np.concatenate([read_window(path, int(s), SAMPLE_RATE).mean(axis=0) for s in starts]) for path in files],
        dtype=np.float64,
    )


def _left(audio: np.ndarray, other: np.ndarray) -> float:
    """Share of the power of `audio` that no gain of `other` explains."""
    power, of_other = float(audio @ audio), float(other @ other)
    return 1 - float(audio @ other) ** 2 / (power * of_other) if power and of_other else 1.0
