"""`bassbench bank` and `bassbench data render` as a user runs them, with good and with bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_suite import PLUGIN, installed, row
from valid_audio import assert_audio_valid

from bassbench.__main__ import main
from bassbench.audio import read_audio, write_audio
from bassbench.commands.bank import Bank
from bassbench.commands.data import Render
from bassbench.errors import BadInputError
from bassbench.results.rows import RowStore
from bassbench.suite.clip_set import open_clip_set


def test_lists_every_split(capsys: pytest.CaptureFixture[str]) -> None:
    Bank().run()
    table = capsys.readouterr().out
    assert all(split in table for split in ("train", "validation", "test", "human"))
    Bank(split="human", songs=True, count=3).run()
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_writes_stems(tmp_path: Path) -> None:
    Bank(split="test", stems=tmp_path, count=1).run()
    assert len(list(tmp_path.rglob("*.wav"))) >= 2


def test_clips_of_the_bank_are_written_with_what_is_known_of_them(tmp_path: Path) -> None:
    Render("test", tmp_path, clips=2).run()
    folders = sorted(tmp_path.iterdir())
    assert {folder.name for folder in folders} == {entry.name for entry in open_clip_set("test").clips[:2]}
    assert sorted(path.name for path in folders[0].iterdir()) == ["bass.wav", "mix.wav", "truth.json"]
    assert_audio_valid(read_audio(folders[0] / "bass.wav"), samples=256 * 4096)
    truth = json.loads((folders[0] / "truth.json").read_text())
    assert truth["chords"] and truth["bass_notes"]
    Render("test", tmp_path, clips=2).run()  # over what it wrote itself
    write_audio(folders[0] / "mix.wav", np.zeros((2, 9), np.float32))
    with pytest.raises(BadInputError, match=r"mix.wav: is there already.*--overwrite"):
        Render("test", tmp_path, clips=2).run()
    assert read_audio(folders[0] / "mix.wav").shape == (2, 9)
    Render("test", tmp_path, clips=2, overwrite=True).run()
    assert read_audio(folders[0] / "mix.wav").shape == (2, 256 * 4096)


def test_what_another_program_makes_of_written_clips_is_scored(tmp_path: Path) -> None:
    options = ["--clips", "3", "--style", "other"]
    with installed(PLUGIN):
        main(["data", "render", "tiny", str(tmp_path / "mixes"), *options])
        (tmp_path / "basses").mkdir()
        others = 0  # songs whose style is unlike their own bass
        for folder in (tmp_path / "mixes").iterdir():
            styles = [read_audio(folder / "style.wav"), read_audio(folder / "bass.wav")]
            others += not np.array_equal(*styles)
            shutil.copy(folder / "bass.wav", tmp_path / "basses" / f"{folder.name}.wav")
        score = ["score", str(tmp_path / "basses"), "--data", "tiny", "--output", str(tmp_path / "run")]
        main([*score, *options, "--metrics", "tiny level,Passes the gate"])
    rows = RowStore(tmp_path / "run" / "rows.jsonl").rows()
    assert {row.metric for row in rows} == {"tiny level", "passes the gate"}
    assert others > 0
    made, real = (row(rows, "tiny level", system).value for system in ("basses", "real bass"))
    assert made == pytest.approx(real, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bank", "--split", "nope"], "nope"),
        (["bank", "--split", "test", "--stems", "OUT", "--count", "1000000"], "1000000"),
        (["bank", "--split", "test", "--stems", "FILE/x", "--count", "1"], "cannot write"),
        (["data", "render", "nope", "OUT"], "nope"),
        (["data", "render", "test", "OUT", "--style", "ohter"], "did you mean 'other'"),
        (["data", "render", "test", "OUT", "--clips", "1"], "--clips takes 2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "FILE").write_text("a file where a folder should be")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not list(tmp_path.rglob("*.wav"))
