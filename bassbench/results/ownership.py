"""Whose a file is: nothing that this program did not write is overwritten unaware, no two runs write in one place."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bassbench.cache import cache_folder, cache_path, content_hash, file_hash
from bassbench.errors import BadInputError


def refuse_foreign(paths: Iterable[Path], *, instead: str) -> None:
    """Refuse to write where there is a file that this program did not write, or that was changed since.

    Raises:
        BadInputError: there is one; `instead` says what to do.
    """
    for path in paths:
        if path.exists():
            note = _note(path)
            if not (note.is_file() and path.is_file() and note.read_text(encoding="utf-8") == file_hash(path)):
                raise BadInputError(f"{path}: is there already, and not as this program wrote it; {instead}")


def note_written(path: Path) -> None:
    """Remember that this program wrote a file, as it is now.

    Raises:
        BadInputError: the cache cannot be written.
    """
    with cache_path(_note(path)) as temporary:
        temporary.write_text(file_hash(path), encoding="utf-8")


@contextlib.contextmanager
def alone_in(place: Path) -> Iterator[None]:
    """Be the only run that writes to a folder or file, as far as processes with one cache can know.

    Raises:
        BadInputError: another run is at it.
    """
    try:
        import fcntl
    except ImportError:  # not there on Windows
        yield
        return
    lock = cache_folder("locks") / content_hash(str(place.resolve()))
    with lock.open("a+") as file:  # let go when it is closed, whatever happens
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BadInputError(
                f"{place}: another run (process {file.read().strip() or 'unknown'}) is writing to it; wait for it, or "
                "give this one another place for its results"
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _note(path: Path) -> Path:
    return cache_folder("written") / content_hash(str(path.resolve()))
