"""Whose a file is, and who writes to a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from bassbench.errors import BadInputError
from bassbench.results.ownership import alone_in, note_written, refuse_foreign
from bassbench.results.rows import RowStore
from experiments.all import SIGN, write_page
from experiments.studies import measure_missing, output_folder, protocol_card, refuse_other_pages


def test_only_what_was_written_here_and_not_changed_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    refuse_foreign([path], instead="")
    path.write_text("one")
    with pytest.raises(BadInputError, match=r"page.html: is there already"):
        refuse_foreign([path], instead="")
    note_written(path)
    refuse_foreign([path], instead="")
    path.write_text("another")
    with pytest.raises(BadInputError, match="name it"):
        refuse_foreign([path], instead="name it")


def test_two_runs_in_one_folder_are_told_of_each_other(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from bassbench.results.ownership import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): print('free')"
    command = [sys.executable, "-c", code]
    with alone_in(tmp_path / "run"):
        other = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True, check=False)
        assert "another run (process " in other.stderr and other.stdout == ""
        beside = subprocess.run([*command, str(tmp_path / "beside")], capture_output=True, text=True, check=True)
        assert beside.stdout == "free\n"
    with alone_in(tmp_path / "run"):
        pass


def test_studies_leave_the_tables_and_pages_of_others(tmp_path: Path) -> None:
    (tmp_path / "study.csv").write_text("mine")
    with pytest.raises(BadInputError, match=r"study.csv: is there already"):
        measure_missing([], RowStore(tmp_path / "study.jsonl"), device="cpu", what="study")
    for own, content in (("study.jsonl", ""), ("study.md", protocol_card([]))):
        (tmp_path / own).write_text(content)
        assert measure_missing([], RowStore(tmp_path / "study.jsonl"), device="cpu", what="study") == []
        (tmp_path / own).unlink()
    (tmp_path / "writable").write_text("mine")
    (tmp_path / "README.md").write_text("# Mine")
    with pytest.raises(BadInputError, match=r"README.md: is there already"):
        refuse_other_pages(output_folder(tmp_path) / "README.md", sign=SIGN)
    assert (tmp_path / "writable").read_text() == "mine"
    write_page(tmp_path, "default")
    refuse_other_pages(tmp_path / "README.md", sign=SIGN)
