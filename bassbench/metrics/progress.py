"""Long loops deep in the suite show a bar where a command has said what the user is waiting for, and none elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_PHASE: ContextVar[str] = ContextVar("phase", default="")
_PATIENCE = 1.0  # seconds: what takes less is over before a bar could be read


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Within the block, `counted` loops show a bar of this name."""
    token = _PHASE.set(name)
    try:
        yield
    finally:
        _PHASE.reset(token)


def counted(items: Sequence[T]) -> Iterable[T]:
    """The items, counted in a bar where a phase has been named."""
    name = _PHASE.get()
    return tqdm(items, name, leave=False, delay=_PATIENCE) if name else items
