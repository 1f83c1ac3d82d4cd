"""Caches live in the user's cache folder, keyed by content."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bassbench.errors import BadInputError
from bassbench.files import atomic_path

_ANOTHER_CACHE = "set BASSBENCH_CACHE to a folder that can be written, with room for it"


def cache_folder(*parts: str) -> Path:
    """`parts` under BASSBENCH_CACHE, else under the user's cache folder; made if missing.

    Raises:
        BadInputError: it cannot be made, or there is no home to put it in; the message names BASSBENCH_CACHE.
    """
    root, shared = os.environ.get("BASSBENCH_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(root) if root else Path(shared or Path.home() / ".cache") / "bassbench"
    except RuntimeError:  # neither HOME nor an entry of the user's in the password file
        raise BadInputError(f"no home folder to keep the cache in; {_ANOTHER_CACHE}") from None
    folder = base.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"{folder}: cannot make the cache folder ({error.strerror}); {_ANOTHER_CACHE}") from None
    return folder


@contextlib.contextmanager
def cache_path(path: Path) -> Iterator[Path]:
    """As `atomic_path`, for what has to be in the cache to go on.

    Raises:
        BadInputError: the cache cannot be written, as on a full disk; the message names BASSBENCH_CACHE.
    """
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise BadInputError(f"{path}: cannot write the cache ({error.strerror or error}); {_ANOTHER_CACHE}") from None


def content_hash(*parts: bytes | str) -> str:
    """A short SHA-256 of the parts, each length-prefixed so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:24]


_BLOCK = 1 << 22


def file_hash(path: Path) -> str:
    """Content hash of a file of any size, in bounded memory; kept in the user's cache as git keeps its index.

    Raises:
        BadInputError: the file cannot be read, or the cache cannot be written.
    """
    try:
        state = path.stat()
        place = content_hash(str(path.resolve()), f"{state.st_size} {state.st_mtime_ns} {state.st_ino}")
        note = cache_folder("file_hashes", place[:2]) / place
        if note.is_file() and len(known := note.read_text()) == len(place):
            return known
        # A hash of the blocks' hashes, so that a file larger than memory can be hashed with content_hash.
        parts = []
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                parts.append(content_hash(block))
    except OSError as error:
        raise BadInputError(f"{path}: cannot read ({error.strerror})") from None
    value = content_hash(*parts)
    with cache_path(note) as temporary:
        temporary.write_text(value)
    return value
