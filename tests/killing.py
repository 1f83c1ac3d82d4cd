"""A process that dies at one of its writes: what a kill at any moment can leave behind, whatever the clock says."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_at_write(folder: Path, number: int) -> Callable[[], int]:
    """From now on kill this process just before its write of that number below a folder (from 1; 0: never).

    A write is a file opened for writing, renamed or removed. The function that comes back counts them. It cannot be
    undone: for processes that a test has started.
    """
    writes = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal writes
        is_write = event in ("os.rename", "os.remove") or (event == "open" and (arguments[2] or 0) & _CHANGES)
        if not is_write or isinstance(arguments[0], int) or not os.fsdecode(arguments[0]).startswith(str(folder)):
            return
        writes += 1
        if writes == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: writes
