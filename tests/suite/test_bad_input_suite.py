"""What the commands say to input that cannot be used: one line and status 2, no traceback, nothing half done."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_suite import PLUGIN, installed, run

from bassbench.__main__ import main
from bassbench.embedders import fadtk

RATE = 44_100
SYSTEMS = """
import numpy as np
class Base:
    name, sample_rate = "mine", 44100
    def accompany(self, mix, *, style=None, seeds): return self.give(mix)
class Mono(Base):
    def give(self, mix): return mix[:, :1]
class Short(Base):
    def give(self, mix): return mix[:, :, :1000]
class Whole(Base):
    def give(self, mix): return (mix * 100).astype(int)
class Nothing(Base):
    def give(self, mix): return None
class Raises(Base):
    def give(self, mix): return mix[99]
class Leaves(Base):
    def give(self, mix): raise SystemExit(0)
class LeavesWhenMade(Base):
    def __init__(self): raise SystemExit(0)
class NoRate(Base):
    sample_rate = None
class NoPlay:
    name, sample_rate = "mine", 44100
number = 5
made = Mono()
"""


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with installed(PLUGIN):
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of basses, each with one thing wrong, finished runs, and modules with systems."""
    root = tmp_path_factory.mktemp("world")
    audio = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE, 2)).astype(np.float32)
    good = root / "good"
    good.mkdir()
    for number in range(7):
        soundfile.write(good / f"c{number}.wav", audio, RATE, subtype="FLOAT")
    bad: dict[str, np.ndarray | bytes] = {
        "text": b"this is no audio\n",
        "empty": b"",
        "truncated": (good / "c0.wav").read_bytes()[:30],
        "nan": np.where(np.arange(len(audio))[:, None] == 7, np.nan, audio),
        "inf": np.where(np.arange(len(audio))[:, None] == 7, np.inf, audio),
        "surround": np.tile(audio[:, :1], (1, 6)),
        "one-sample": audio[:1],
        "no-samples": audio[:0],
        "too-long": np.tile(audio, (2, 1)),
    }
    for name, content in bad.items():
        shutil.copytree(good, root / name)
        if isinstance(content, bytes):
            (root / name / "c3.wav").write_bytes(content)
        else:
            soundfile.write(root / name / "c3.wav", content, RATE, subtype="FLOAT")
    shutil.copytree(good, root / "twice")
    shutil.copy(good / "c1.wav", root / "twice" / "c1.flac")
    shutil.copytree(good, root / "lacking")
    (root / "lacking" / "c5.wav").unlink()
    (root / "void").mkdir()
    (root / "a-file").write_text("hello")
    (root / "mine.py").write_text(SYSTEMS)
    (root / "leaves.py").write_text("raise SystemExit(0)")
    (root / "raises.py").write_text("raise RuntimeError('no luck')")
    (root / "syntax.py").write_text("def broken(:")
    run(root / "run", metrics="tiny level")
    shutil.copytree(root / "run", root / "unfinished")
    (root / "unfinished" / "values.jsonl").unlink()
    shutil.copytree(root / "run", root / "bad-config")
    (root / "bad-config" / "config.json").write_text("{}")
    return root


TINY = ["--data", "tiny", "--clips", "7", "--embedder", "tiny", "--metrics", "tiny level"]


def score(folder: str, *more: str) -> list[str]:
    return ["score", f"ROOT/{folder}", *TINY, *more, "--output", "ROOT/out"]


def play(system: str, *more: str) -> list[str]:
    options = next((place for place, word in enumerate(more) if word.startswith("--")), len(more))
    return ["run", system, *more[:options], *TINY, *more[options:], "--output", "ROOT/out"]


# What is given, and a word of what must be said.
BAD: dict[str, tuple[list[str], str]] = {
    "missing folder": (score("nowhere"), "no such folder"),
    "a file for a folder": (score("a-file"), "no such folder"),
    "empty folder": (score("void"), "7 of 7 clips"),
    "a clip missing": (score("lacking"), "song5"),
    "text for audio": (score("text"), "not a readable audio file"),
    "empty file": (score("empty"), "c3.wav"),
    "truncated file": (score("truncated"), "not a readable audio file"),
    "NaN": (score("nan"), "NaN or Inf"),
    "Inf": (score("inf"), "NaN or Inf"),
    "six channels": (score("surround"), "6 channels"),
    "one sample": (score("one-sample"), "lengths may differ"),
    "no samples": (score("no-samples"), "c3.wav"),
    "twice as long": (score("too-long"), "lengths may differ"),
    "two files of one clip": (score("twice"), "one file a clip"),
    "unknown data": (score("good", "--data", "nothing"), "no data 'nothing'"),
    "a folder without stems as data": (score("good", "--data", "ROOT/void"), "no dataset"),
    "unknown embedder": (["score", "ROOT/good", "--data", "tiny", "--embedder", "ears"], "no embedder 'ears'"),
    "unknown fadtk model": (
        ["score", "ROOT/good", "--data", "tiny", "--embedder", "fadtk:ears"],
        "fadtk embedder 'ears'",
    ),
    "weights not here, or fadtk itself": (
        ["score", "ROOT/good", "--data", "tiny", "--embedder", "fadtk:clap-laion-music"],
        "2350 MB" if fadtk.installed() else fadtk.INSTALL,
    ),
    "unknown metric": (score("good", "--metrics", "beauty"), "no metric 'beauty'"),
    "no metric": (score("good", "--metrics", ","), "choose from"),
    "a probe of files": (score("good", "--metrics", "output change (mix muted)"), "bassbench run"),
    "too few songs for sets": (score("good", "--metrics", "FAD", "--clips", "3"), "fewer than"),
    "one clip": (score("good", "--clips", "1"), "--clips takes"),
    "too many clips": (score("good", "--clips", "99"), "--clips takes"),
    "no whole number": (score("good", "--clips", "many"), "clips"),
    "too many reference clips": (score("good", "--reference-clips", "99"), "--reference-clips takes"),
    "negative seed": (score("good", "--seed", "-1"), "--seed takes"),
    "unknown style": (score("good", "--style", "loud"), "no style 'loud'"),
    "seconds of a plug-in's data": (["score", "ROOT/good", "--data", "test", "--seconds", "3"], "--seconds takes"),
    "unknown device": (score("good", "--device", "abacus"), "abacus"),
    "output is a file": (["score", "ROOT/good", *TINY, "--output", "ROOT/a-file"], "--output"),
    "output cannot be made": (["score", "ROOT/good", *TINY, "--output", "/proc/none/x"], "--output"),
    "output holds other files": (["score", "ROOT/good", *TINY, "--output", "ROOT/nan"], "holds other files"),
    "output holds another run": (["score", "ROOT/good", *TINY, "--output", "ROOT/run"], "another run"),
    "output is the input": (["score", "ROOT/good", *TINY, "--output", "ROOT/good"], "a folder of their own"),
    "unknown option": (score("good", "--loudly", "yes"), "loudly"),
    "unknown system": (play("nobody"), "no system 'nobody'"),
    "unknown module": (play("no_such_module:System"), "no_such_module"),
    "missing file": (play("ROOT/none.py:System"), "no such file"),
    "missing class": (play("ROOT/mine.py:Nobody"), "mine.py: 'Nobody'"),
    "module that raises": (play("ROOT/raises.py:System"), "no luck"),
    "module that exits": (play("ROOT/leaves.py:System"), "SystemExit"),
    "a system that exits when made": (play("ROOT/mine.py:LeavesWhenMade"), "SystemExit"),
    "a system that exits when it plays": (play("ROOT/mine.py:Leaves"), "failed (SystemExit"),
    "module that does not parse": (play("ROOT/syntax.py:System"), "SyntaxError"),
    "a number for a system": (play("ROOT/mine.py:number"), "expected a class"),
    "no accompany": (play("ROOT/mine.py:NoPlay"), "has no accompany"),
    "no sample rate": (play("ROOT/mine.py:NoRate"), "sample_rate"),
    "arguments for what is made": (play("ROOT/mine.py:made", "x=1"), "no arguments"),
    "argument without a value": (play("tiny-tone", "hz"), "key=value"),
    "argument twice": (play("tiny-tone", "hz=1", "hz=2"), "each key once"),
    "unknown argument": (play("tiny-tone", "colour=1"), "colour"),
    "argument of a wrong kind": (play("tiny-tone", "hz=[1]"), "expected a number"),
    "mono output": (play("ROOT/mine.py:Mono"), "expected float of shape"),
    "short output": (play("ROOT/mine.py:Short"), "lengths may differ"),
    "whole numbers as output": (play("ROOT/mine.py:Whole"), "int64"),
    "no output": (play("ROOT/mine.py:Nothing"), "shape ()"),
    "a system that raises": (play("ROOT/mine.py:Raises"), "error.log"),
    "a plug-in that is broken": (play("tiny-broken"), "tiny-plugin"),
    "a dataset that is broken": (play("tiny-tone", "--data", "tiny-broken-data"), "holiday"),
    "batches of none": (play("tiny-tone", "--batch-size", "0"), "--batch-size"),
    "comparing what is no run": (["compare", "ROOT/good", "ROOT/run"], "config.json"),
    "comparing an unfinished run": (["compare", "ROOT/run", "ROOT/unfinished"], "not finished"),
    "comparing a damaged run": (["compare", "ROOT/bad-config", "ROOT/run"], "not the config"),
    "comparing by an unknown metric": (["compare", "ROOT/run", "ROOT/run", "--metrics", "beauty"], "beauty"),
    "comparing with one": (["compare", "ROOT/run"], "Required"),
    "listing the unknown": (["list", "wishes"], "no list of 'wishes'"),
    "unknown command": (["sing"], "sing"),
}


def test_there_are_forty_of_them() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BASSBENCH_DOWNLOAD", raising=False)
    command, said = BAD[case]
    # The output is a folder of this test's own; what is read is shared.
    command = [word.replace("ROOT/out", str(tmp_path / "out")).replace("ROOT", str(world)) for word in command]
    before = _state(world)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    if "error: " in error:  # ours; the others are the command line parser's, which draws a box
        assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert _state(world) == before
    assert not list(tmp_path.rglob("rows.jsonl")) and not list(tmp_path.rglob("*.tmp"))
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
