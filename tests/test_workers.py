"""Work in processes: in order, and an end where a worker ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bassbench.errors import BadInputError
from bassbench.workers import in_processes


def _die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    return number


def test_results_come_in_order_and_few_items_start_no_process() -> None:
    assert list(in_processes(abs, [-3, 1, -2], 2)) == [3, 1, 2]
    assert list(in_processes(lambda x: x + 1, [1], 8)) == [2]  # what cannot be pickled shows that no process began
    assert list(in_processes(lambda x: x + 1, [1, 2], 1)) == [2, 3]


def test_a_worker_that_is_killed_is_told_of() -> None:
    with pytest.raises(BadInputError, match="a worker process ended"):
        list(in_processes(_die, [1, 2, 3], 2))


def test_a_script_without_a_main_guard_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from bassbench.workers import in_processes\nlist(in_processes(abs, [1, 2, 3], 2))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "__name__" in done.stderr.splitlines()[-1]
