"""Which files a name of shards stands for, and how much of what others put in them is read.

Shards come from elsewhere, so neither their names nor their contents are trusted. A name is a file on disk, http or
https; what is decoded of a sample has a bound, however small the file that promises it.
"""

import io
import math
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO
from urllib.request import url2pathname

import numpy as np
import soundfile

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import LIMITS, BadInputError
from bassbench.files import parse_json
from bassbench.stems.files import read_mapping

SETTINGS = "shards.json"
MOST_STEM_SAMPLES = int(LIMITS["shard_seconds"].most) * SAMPLE_RATE
"""Samples of one stem."""
MOST_SAMPLES = 1800 * SAMPLE_RATE
"""Samples of all stems of a sample together: 635 MB once decoded."""
MOST_STEMS = 64
_MOST_SHARDS = 1_000_000
_MOST_MEMBERS = int(LIMITS["per_shard"].most) * (MOST_STEMS + 1)
_MOST_JSON_BYTES = 2**22
_MOST_SAMPLE_BYTES = 4 * MOST_SAMPLES  # what FLAC takes at worst
_BLOCK = 2**16
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter alone is a drive
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)(?:\.\.-?\d+)?\}")


def webdataset() -> ModuleType:
    """The package, which only shards need.

    Raises:
        BadInputError: it is not installed.
    """
    try:
        import webdataset
    except ImportError:
        raise BadInputError("shards need the package webdataset: pip install 'bassbench[webdataset]'") from None
    return webdataset


def is_sharded(data: str) -> bool:
    """Whether training data are shards: a path or URL of tar files, or a folder that holds some."""
    return any(Path(data).glob("*.tar")) if Path(data).is_dir() else data.endswith(".tar")


def shard_urls(shards: str | Path | Sequence[str | Path], *, programs: bool = False) -> list[str]:
    """Absolute paths and URLs of all shards, ranges written out.

    What exists on disk is a path, whatever its name looks like. `programs` lets URLs start a program: `pipe:COMMAND` a
    shell, `gs:`, `hf:`, `sftp:` ... what webdataset has for them.

    Raises:
        BadInputError: a folder without shards, or without all that it should have; a range that is none; a URL that
            starts a program where that is not allowed.
    """
    given = [shards] if isinstance(shards, str | Path) else list(shards)
    urls: list[str] = []
    for one in given:
        if Path(one).is_dir():
            urls += _whole_folder(Path(one).absolute())
        elif isinstance(one, Path) or Path(one).is_file():
            urls.append(str(Path(one).absolute()))
        else:
            urls += [_place(url, programs) for url in _expanded(one)]
    return urls


def open_shard(url: str) -> BinaryIO:
    """A shard of `shard_urls` as a stream.

    Raises:
        OSError: it cannot be opened.
    """
    if Path(url).is_absolute():  # never what looks like a URL: webdataset would start a shell for some
        return Path(url).open("rb")
    opened: BinaryIO = webdataset().gopen(url, "rb")
    return opened


def sample_files(tar: tarfile.TarFile, shard: str) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Sample, kind ("json", "0.flac" ...) and place of each file of a shard; the archive remembers none of them.

    Raises:
        BadInputError: links or devices, or more or larger files than a shard has.
    """
    sample, size = "", 0
    for count, member in enumerate(tar):
        tar.members = []  # type: ignore[attr-defined]
        if member.isdir():
            continue
        key, _, kind = member.name.partition(".")
        size = member.size + (size if key == sample else 0)
        sample = key
        if not member.isreg() or member.issparse():
            fault = "is a link or a device, not a file"
        elif size > _MOST_SAMPLE_BYTES or (kind == "json" and member.size > _MOST_JSON_BYTES):
            fault = f"makes its sample {size} bytes large, more than any of this format"
        elif count >= _MOST_MEMBERS:
            fault = f"is file {count + 1}; a shard has at most {_MOST_MEMBERS}"
        else:
            yield key, kind, member
            continue
        raise BadInputError(f"{shard}: its member {member.name!r} {fault}; write the shards again")


def sample_about(text: bytes) -> dict[str, Any]:
    """The JSON of a sample.

    Raises:
        ValueError: it is not of this format.
    """
    about = parse_json(text)
    if not isinstance(about, dict):
        raise ValueError(f"a {type(about).__name__} for a mapping")
    stems = about.get("stems")
    if not isinstance(stems, list) or not all(isinstance(role, str) for role in stems) or len(set(stems)) < len(stems):
        raise ValueError("stems must be a list of different names")
    if len(stems) > MOST_STEMS:
        raise ValueError(f"{len(stems)} stems; a sample has at most {MOST_STEMS}")
    return about


def decoded_stem(data: bytes, where: str, most: int = MOST_STEM_SAMPLES) -> np.ndarray:
    """Audio `(2, samples)`, float32, of the FLAC bytes of a stem; `where` names it in errors.

    Raises:
        BadInputError: damaged bytes, audio that is not stereo at 44.1 kHz, or more than `most` samples.
    """
    most = min(most, MOST_STEM_SAMPLES)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if (file.format, file.channels, file.samplerate) != ("FLAC", 2, SAMPLE_RATE):
                raise ValueError(f"{file.channels} channels of {file.format} at {file.samplerate} Hz")
            if file.frames > most:
                seconds = (f"{samples / SAMPLE_RATE:.0f} s" for samples in (file.frames, most))
                raise ValueError("a stem of {} where at most {} are left for it".format(*seconds))
            audio, at = np.empty((2, file.frames), np.float32), 0
            while at < file.frames:  # the whole of it in two types would take half as much memory again
                block = file.read(_BLOCK, dtype="int16", always_2d=True)
                if not len(block):
                    raise ValueError(f"{at} of {file.frames} samples")
                audio[:, at : at + len(block)] = block.T
                at += len(block)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise BadInputError(f"{where}: not a sample of this format ({error}); write the shards again") from None
    audio /= np.float32(32767)
    return audio


def _whole_folder(folder: Path) -> list[str]:
    found = sorted(str(path) for path in folder.glob("*.tar") if not path.name.startswith("."))
    if not found:
        raise BadInputError(f"{folder}: no shards (*.tar) in this folder; `bassbench data shard` writes them")
    settings = folder / SETTINGS
    promised = read_mapping(settings).get("shards") if settings.is_file() else len(found)
    if promised != len(found):
        raise BadInputError(f"{folder}: {len(found)} of {promised} shards; run `bassbench data shard` to its end")
    return found


def _expanded(name: str) -> list[str]:
    webdataset()
    from braceexpand import braceexpand  # what webdataset reads ranges with

    if math.prod(abs(int(end) - int(start)) + 1 for start, end in _RANGE.findall(name)) > _MOST_SHARDS:
        raise BadInputError(f"{name}: more than {_MOST_SHARDS} shards; give a smaller range")
    try:
        return list(braceexpand(name))
    except ValueError as error:
        raise BadInputError(f"{name}: not a range of shards such as {{000000..000127}}.tar ({error})") from None


def _place(url: str, programs: bool) -> str:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return str(Path(url).absolute())
    if scheme[1].lower() == "file":
        return str(Path(url2pathname(re.sub("^file:(//)?", "", url, flags=re.I))).absolute())
    if re.match("https?://", url, re.I) or programs:
        return url
    raise BadInputError(
        f"{url}: no such file, and '{scheme[1]}:' would start a program; download the shards, give http or https, or, "
        "if you trust the name, --shard-programs"
    )
