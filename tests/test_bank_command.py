"""`python -m bassbench bank` as a user runs it, with good and with bad input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bassbench.audio import assert_audio_valid, read_audio, write_audio
from bassbench.bad_input import BadInputError
from bassbench.bank_command import Bank


def test_lists_every_split(capsys: pytest.CaptureFixture[str]) -> None:
    Bank().run()
    table = capsys.readouterr().out
    assert all(split in table for split in ("train", "validation", "test", "human"))
    Bank(split="human", songs=True, count=3).run()
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_renders_pairs_and_stems(tmp_path: Path) -> None:
    Bank(split="test", render=tmp_path, count=1).run()
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["bass.wav", "mix.wav", "truth.json"]
    assert_audio_valid(read_audio(folder / "bass.wav"), samples=256 * 4096)
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["chords"] and truth["bass_notes"]
    Bank(split="test", render=tmp_path, count=1).run()  # over what it wrote itself
    write_audio(folder / "mix.wav", np.zeros((2, 9), np.float32))
    with pytest.raises(BadInputError, match=r"mix.wav: is there already.*--overwrite"):
        Bank(split="test", render=tmp_path, count=1).run()
    assert read_audio(folder / "mix.wav").shape == (2, 9)
    Bank(split="test", render=tmp_path, count=1, overwrite=True).run()
    Bank(split="test", render=tmp_path / "stems", count=1, stems=True).run()
    assert len(list((tmp_path / "stems").rglob("*.wav"))) >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "nope"], "nope"),
        (["--split", "test", "--render", "OUT", "--count", "1000000"], "1000000"),
        (["--split", "test", "--render", "FILE/x", "--count", "1"], "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "FILE").write_text("a file where a folder should be")
    command = [sys.executable, "-m", "bassbench", "bank", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.wav"))
