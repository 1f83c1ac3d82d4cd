"""The cache's folder and the end of a command: what cannot be is one line."""

import errno
import io
import sys
from pathlib import Path

import pytest

from bassbench.cache import cache_folder, cache_path
from bassbench.errors import BadInputError, exit_on_bad_input


def test_a_cache_without_a_home_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("BASSBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BadInputError, match=r"no home folder.*BASSBENCH_CACHE"):
        cache_folder("clips")
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp")
    assert cache_folder() == Path("/tmp/bassbench")  # no home is asked for where none is needed


def test_a_cache_that_is_a_file_or_full_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInputError, match=r"cannot make the cache folder.*BASSBENCH_CACHE"):
        cache_folder("clips")
    entry = tmp_path / "entry"
    with pytest.raises(BadInputError, match=r"No space left.*BASSBENCH_CACHE"), cache_path(entry):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not entry.exists() and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_ctrl_c_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_bad_input():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    (line,) = capsys.readouterr().err.split("\n")[1:-1]
    assert "the same command goes on" in line


def test_a_narrow_terminal_loses_a_letter_not_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    with exit_on_bad_input():
        print("0.94 ± 0.02, ≤ 1, Dvořák")
    sys.stdout.flush()
    assert shown.getvalue().decode("cp1252") == "0.94 ± 0.02, ? 1, Dvo?ák\n"
