"""Files appear whole or not at all, and caches live in the user's cache folder, keyed by content."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bassbench.bad_input import BadInputError

_ANOTHER_CACHE = "set BASSBENCH_CACHE to a folder that can be written, with room for it"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes files private; a result is as readable as any other new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        BadInputError: it cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path}: cannot write ({error.strerror})") from None


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


def file_stem(name: str) -> str:
    """A clip's or song's name as part of a file name."""
    return name.replace("/", "_").replace("\\", "_")


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
