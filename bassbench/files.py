"""Files appear whole or not at all; lines of JSON are appended so that a crash loses none that was written."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Any

from bassbench.errors import BadInputError


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


def file_stem(name: str) -> str:
    """A clip's or song's name as part of a file name."""
    return name.replace("/", "_").replace("\\", "_")


def append_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Append each value as a line, all on disk when this returns; what a crash left of a line is cut off first.

    Raises:
        BadInputError: the file cannot be written; nothing is left of the values then.
        ValueError: a value holds NaN or Inf, which JSON does not know.
    """
    data = "".join(json.dumps(value, sort_keys=True, allow_nan=False) + "\n" for value in values).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file, _alone(file):
            whole = _length_of_whole_lines(file)
            file.truncate(whole)
            try:
                written = file.write(data)
                os.fsync(file.fileno())
                if written != len(data):
                    raise OSError(None, "disk full")
            except OSError:
                file.truncate(whole)
                raise
    except OSError as error:
        raise BadInputError(f"{path}: cannot write results ({error.strerror})") from None


def read_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each whole line that is not empty, with where it stands for errors; nothing if there is no such file.

    A last line that a crash cut short is passed over.

    Raises:
        BadInputError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInputError(f"{path}: cannot read the results ({error.strerror})") from None
    for number, line in enumerate(lines[:-1], 1):
        if line.strip():
            yield f"{path}, line {number}", line


@contextlib.contextmanager
def _alone(file: FileIO) -> Iterator[None]:
    """Keep other processes from appending meanwhile, where the system and the file system can."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed, whatever happens
    yield


def _length_of_whole_lines(file: FileIO) -> int:
    end = file.seek(0, SEEK_END)
    while end > 0:
        start = max(end - 65_536, 0)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def parse_json(text: str | bytes) -> Any:
    """The value that the text stands for.

    Raises:
        ValueError: it is not JSON, or nested deeper than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
