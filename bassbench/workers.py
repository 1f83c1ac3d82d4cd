"""Work spread over processes, in the order of the items: one that dies is told of, not waited for or started anew."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from bassbench.errors import BadInputError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(work: Callable[[T], R], items: Iterable[T], processes: int, *, chunk: int = 1) -> Iterator[R]:
    """`work` of each item, in order: in this process, or in as many worker processes as asked for, if that is several.

    Worker processes start as new programs, so `work` must be a function of a module and its results pickle; each
    computes on one thread. `chunk` items are handed out at a time.

    Raises:
        BadInputError: a worker ended before its work was done.
    """
    items = list(items)
    if processes <= 1 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(min(processes, len(items)), multiprocessing.get_context("spawn"), _begin)
    try:
        yield from pool.map(work, items, chunksize=chunk)
    except BrokenProcessPool:
        raise BadInputError(
            "a worker process ended before its work was done: out of memory (use fewer processes), or the script that "
            'started it lacks `if __name__ == "__main__":` around what it does'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a traceback of its own
    os.environ["OMP_NUM_THREADS"] = "1"  # for what is yet to be imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
