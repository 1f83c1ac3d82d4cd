"""Shards that others made: their names start nothing, and no small file takes much memory or ends in a traceback."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.stems import shard_files
from bassbench.stems.shard_files import open_shard, shard_urls
from bassbench.stems.shards import ShardedClips, shard_hash, sharded_stems
from reference_model import train_diffusion

pytest.importorskip("webdataset")
ABOUT = {"name": "a", "song": "a", "stems": ["bass", "keys"], "notes": {}}


def flac(samples: int = SAMPLE_RATE, channels: int = 2, rate: int = SAMPLE_RATE) -> bytes:
    file = io.BytesIO()
    audio = np.zeros((samples, channels), np.int16)
    audio[::7] = 900
    soundfile.write(file, audio, rate, format="FLAC")
    return file.getvalue()


def shard(path: Path, about: object, *stems: bytes, link: str = "") -> Path:
    """A shard of one sample; `about` is its JSON, or the text itself."""
    text = about if isinstance(about, str) else json.dumps(about)
    files = {"0.json": text.encode(), **{f"0.{i}.flac": stem for i, stem in enumerate(stems)}}
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name == link:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(data))
    return path


NAME = "pipe:touch PWNED;cat good.tarx;true.tar"


@pytest.fixture()
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose one shard is named like a command."""
    shard(tmp_path / "good.tarx", ABOUT, flac(), flac())
    (tmp_path / NAME).write_bytes((tmp_path / "good.tarx").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("given", [".", "./", NAME, [NAME], Path(NAME)])
def test_a_file_name_starts_nothing(trap: Path, given: str | Path | list[str]) -> None:
    assert [clip.name for clip in ShardedClips(given)] == ["a"]
    assert shard_urls(given) == [str(trap / NAME)] and not (trap / "PWNED").exists()


@pytest.mark.parametrize("given", [".", "./", NAME])
def test_nor_does_it_through_the_command(trap: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(trap / "cache"))
    command = ["train_diffusion", "--data", given, "--validation-data", given, "--frames", "99", "--run", "run"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        train_diffusion.main()
    assert stopped.value.code == 2 and not (trap / "PWNED").exists()
    assert list(trap.glob("cache/latents/*/*.npz"))  # it was read, and is too short to train on


@pytest.mark.parametrize(
    "url", ["pipe:touch PWNED.tar", "PIPE:touch PWNED.tar", "gs://a/b.tar", "a:b.tar", "hf://a.tar"]
)
def test_schemes_that_start_programs_need_a_flag(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if url == "a:b.tar":  # a drive's letter, on other systems
        assert shard_urls(url) == [str(tmp_path / url)]
        return
    with pytest.raises(BadInputError, match="--shard-programs"):
        ShardedClips([url])
    monkeypatch.setattr("sys.argv", ["train_diffusion", "--run", "run", "--data", url])
    with pytest.raises(SystemExit):
        train_diffusion.main()
    assert "--shard-programs" in capsys.readouterr().err and not (tmp_path / "PWNED.tar").exists()


def test_the_flag_does_what_it_says_and_the_web_needs_none(trap: Path) -> None:
    assert [clip.name for clip in ShardedClips("pipe:cat good.tarx #.tar", programs=True)] == ["a"]
    assert shard_urls("https://h/{0..1}.tar") == ["https://h/0.tar", "https://h/1.tar"]
    assert shard_urls(f"file:{trap}/{{0..1}}.tar") == shard_urls("{0..1}.tar") == [f"{trap}/{i}.tar" for i in (0, 1)]
    for name in ("{0..99999999999}.tar", "{0..9999}{0..9999}.tar", "a{b.tar"):
        with pytest.raises(BadInputError, match="range"):
            shard_urls(name)


BAD: dict[str, Callable[[Path], Path]] = {
    "too long a stem": lambda p: shard(p / "in/0.tar", ABOUT, flac(3 * SAMPLE_RATE), flac()),
    "too many stems": lambda p: shard(p / "in/0.tar", {**ABOUT, "stems": [str(i) for i in range(99)]}, *[flac(9)] * 99),
    "mono": lambda p: shard(p / "in/0.tar", ABOUT, flac(channels=1), flac(channels=1)),
    "other rate": lambda p: shard(p / "in/0.tar", ABOUT, flac(rate=8000), flac(rate=8000)),
    "a stem cut short": lambda p: shard(p / "in/0.tar", ABOUT, flac()[:90], flac()[:90]),
    "nested JSON": lambda p: shard(p / "in/0.tar", "[" * 200_000, flac(), flac()),
    "a list": lambda p: shard(p / "in/0.tar", [], flac(), flac()),
    "large JSON": lambda p: shard(p / "in/0.tar", '"' + "a" * 2**23 + '"', flac(), flac()),
    "stems of numbers": lambda p: shard(p / "in/0.tar", {**ABOUT, "stems": [1, 2]}, flac(), flac()),
    "a stem twice": lambda p: shard(p / "in/0.tar", {**ABOUT, "stems": ["bass", "bass"]}, flac(), flac()),
    "a symlink for JSON": lambda p: shard(p / "in/0.tar", ABOUT, flac(), flac(), link="0.json"),
    "a symlink for audio": lambda p: shard(p / "in/0.tar", ABOUT, flac(), flac(), link="0.0.flac"),
}
READ_WHOLE: dict[str, Callable[[Path], Path]] = {
    "no notes": lambda p: shard(p / "in/0.tar", {**ABOUT, "notes": []}, flac(), flac()),
    "notes of words": lambda p: shard(p / "in/0.tar", {**ABOUT, "notes": {"bass": [["a"] * 4]}}, flac(), flac()),
    "two lengths": lambda p: shard(p / "in/0.tar", ABOUT, flac(), flac(99)),
}


@pytest.mark.parametrize("case", BAD | READ_WHOLE)
def test_what_no_sample_holds_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "MOST_STEM_SAMPLES", 2 * SAMPLE_RATE)
    path = (BAD | READ_WHOLE)[case](tmp_path)
    with pytest.raises(BadInputError, match=r"0\.tar") as error:
        list(ShardedClips(path.parent))
    assert "\n" not in str(error.value)
    if case in BAD:
        with pytest.raises(BadInputError, match=r"0\.tar"):
            sharded_stems(str(path.parent), "bass")[0]


def test_no_sample_takes_more_than_its_share_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bassbench.stems.shards.MOST_SAMPLES", 2 * SAMPLE_RATE)
    monkeypatch.setattr("bassbench.stems.shards.MOST_SAMPLES", SAMPLE_RATE)
    roles = ["bass", "keys", "horns"]
    path = shard(tmp_path / "in/0.tar", {**ABOUT, "stems": roles}, *[flac()] * 3)
    with pytest.raises(BadInputError, match="at most 0 s are left"):
        list(ShardedClips(path))
    with pytest.raises(BadInputError, match="at most 0 s are left"):
        sharded_stems(str(path.parent), "mix")[0]


def test_members_have_a_number_and_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "_MOST_MEMBERS", 2)
    path = shard(tmp_path / "in/0.tar", ABOUT, flac(), flac())
    for read in (
        lambda: list(ShardedClips(path)),
        lambda: shard_hash(str(path)),
        lambda: sharded_stems(str(path), "mix"),
    ):
        with pytest.raises(BadInputError, match="at most 2"):
            read()
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(tmp_path / "fifo.tar", "w") as tar:
        tar.add(tmp_path / "pipe", "0.json")
    with pytest.raises(BadInputError, match="not a file"):
        list(ShardedClips(tmp_path / "fifo.tar"))


def test_compressed_shards_are_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("0.json"))
    with pytest.raises(BadInputError, match="cannot read a shard"):
        list(ShardedClips(tmp_path))
    with open_shard(str(tmp_path / "0.tar")) as file:
        assert file.read(2) == b"\x1f\x8b"
