"""The tiny plug-in on the path, as if it were installed, and runs on it."""

import contextlib
import functools
import multiprocessing
import multiprocessing.context
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from killing import die_at_write

from bassbench.__main__ import main
from bassbench.embedders import registry as embedder_registry
from bassbench.metrics import registry as metric_registry
from bassbench.results.rows import Row, RowStore

PLUGIN = Path(__file__).parent / "fixtures" / "tiny_plugin"
METRICS = "FAD,KAD,prompt adherence,tiny level,mono fold-down loss,output change (mix swapped)"


@contextmanager
def installed(*folders: Path) -> Iterator[None]:
    """Folders with packages and their dist-info on the path; plug-ins that were looked up before are forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in folders:
            patch.syspath_prepend(str(folder))
        forget()
        yield
    forget()


def forget() -> None:
    """Look plug-ins up anew."""
    metric_registry.clip_metrics.cache_clear()
    for cached in (embedder_registry._added_embedder,):
        assert isinstance(cached, functools._lru_cache_wrapper)
        cached.cache_clear()


ON_TINY_DATA = ["--data", "tiny", "--embedder", "tiny", "--pair-embedder", "tiny"]


def arguments(output: Path, *more: str, clips: int = 7, metrics: str = METRICS) -> list[str]:
    """A run of the tiny system on the tiny data."""
    shared = [*ON_TINY_DATA, "--clips", str(clips), "--output", str(output)]
    return ["run", "tiny-tone", *more, *shared, "--metrics", metrics, "--batch-size", "3"]


def run(output: Path, *more: str, **options: object) -> list[Row]:
    """The rows of a run of the tiny system."""
    main(arguments(output, *more, **options))  # type: ignore[arg-type]
    return RowStore(output / "rows.jsonl").rows()


def row(rows: list[Row], metric: str, system: str = "tiny tone") -> Row:
    """The row of one metric of one system."""
    (found,) = [row for row in rows if (row.metric, row.system) == (metric, system)]
    return found


def numbers(rows: list[Row]) -> list[tuple]:
    """Rows without what may differ from run to run: time, and the code's state."""
    return [(r.key, *(str(number) for number in (r.value, r.low, r.high))) for r in rows]  # a NaN equals no other


def started(
    command: list[str], environment: dict[str, str], kill: tuple[Path, int] | None = None
) -> multiprocessing.context.ForkServerProcess:
    """Start a command on the tiny plug-in in a process of its own.

    With `kill` it dies at its write of that number below that folder (`killing.die_at_write`), and where it comes to
    its end it leaves the number of its writes in the folder's file `writes`.

    It is forked from a server that has imported everything and computed nothing: a fork of the tests' own process,
    whose OpenMP threads it would lack, can wait for them for ever.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["tiny_suite", "bassbench.suite.evaluation", "bassbench.suite.systems", "contrastive.metric"]
    )
    process = server.Process(target=_command, args=(command, environment, kill))
    process.start()
    return process


def ended(process: multiprocessing.context.ForkServerProcess) -> int:
    """Wait for a process; its exit status, or minus the signal that ended it."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _command(command: list[str], environment: dict[str, str], kill: tuple[Path, int] | None) -> None:
    os.environ |= environment
    writes = die_at_write(*kill) if kill else None
    torch.set_num_threads(1)
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        installed(PLUGIN),
    ):
        main(command)
    if kill and writes:
        (kill[0] / "writes").write_text(str(writes()))
