"""The content hash of a file, computed once: it is remembered until the file's size or time of change differ."""

from pathlib import Path

from bassbench.bad_input import BadInputError
from bassbench.files import cache_folder, cache_path, content_hash

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
