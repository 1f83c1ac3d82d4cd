"""Tracks that are not scored are named: on the error stream, in every row, in the report; a flag makes it an error."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stem_trees as trees
from tiny_suite import PLUGIN, installed

from bassbench.__main__ import main
from bassbench.errors import BadInputError
from bassbench.results.rows import RowStore
from bassbench.stems.training_data import training_requests
from bassbench.suite.clip_set import ClipEntry, ClipSet, open_clip_set


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with installed(PLUGIN):
        yield


def _missing_file(root: Path) -> Path:
    (folder,) = (path.parent for path in trees.moisesdb(root.parent / "one").rglob("data.json"))
    for number in range(4):
        shutil.copytree(folder, root / f"track{number}")
    (root / "track2" / "bass" / "b0.wav").unlink()
    return root


def _silent_bass(root: Path) -> Path:
    trees.musdb(root, ("test/A", "test/B", "test/C", "test/D", "train/E"))
    trees.write(root / "test" / "C" / "bass.wav", trees.tone(60, level=0), subtype="PCM_16")
    (root / "train" / "E" / "bass.wav").unlink()  # of no concern to a test
    return root


@pytest.mark.parametrize("make", [_missing_file, _silent_bass])
def test_what_is_left_out_is_said_everywhere(
    tmp_path: Path, make: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = make(tmp_path / "data"), tmp_path / "out"
    command = ["run", "tiny-tone", "--data", str(root), "--seconds", "3", "--metrics", "tiny level", "--clips", "2"]
    main([*command, "--output", str(out)])
    assert "1 of 4 tracks left out: " in capsys.readouterr().err
    rows = RowStore(out / "rows.jsonl").rows()
    assert rows and all(row.left_out.startswith("1 of 4 tracks left out: ") for row in rows)
    main(["report", str(out), "-o", str(tmp_path / "page.html"), "--examples", "0"])
    assert "1 of 4 tracks left out: " in (tmp_path / "page.html").read_text()
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--output", str(tmp_path / "other"), "--require-all"])
    assert stopped.value.code == 2 and "1 of 4 tracks left out" in capsys.readouterr().err


def test_clips_never_share_the_file_that_their_audio_is_kept_in(tmp_path: Path) -> None:
    for number, name in enumerate(("a/t0", "a_t0", "b")):
        trees.write(tmp_path / name / "bass.wav", trees.tone(60 + number, 3))
        trees.write(tmp_path / name / "keys.wav", trees.tone(300, 3))
    assert len(open_clip_set(str(tmp_path), 2).clips) == 3
    entry = open_clip_set(str(tmp_path), 2).clips[0]
    for names in (("a/t0", "a_t0"), ("One", "one"), ("same", "same")):
        with pytest.raises(BadInputError, match="its own name"):
            ClipSet("added", tuple(ClipEntry(name, name, "key", entry.load) for name in names))


def test_where_no_track_of_a_split_can_be_read_no_other_takes_its_place(tmp_path: Path) -> None:
    trees.musdb(tmp_path, ("test/A", "train/B"))
    (tmp_path / "test" / "A" / "bass.wav").unlink()
    with pytest.raises(BadInputError, match=r"split 'test' \(.*bass.wav missing"):
        open_clip_set(str(tmp_path), 2)
    trees.musdb(tmp_path, ("test/A",))
    (tmp_path / "train" / "B" / "bass.wav").unlink()
    with pytest.raises(BadInputError, match=r"split 'train' \(.*bass.wav missing"):
        training_requests(str(tmp_path))
