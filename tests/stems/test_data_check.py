"""`python -m bassbench data check`: every broken file gets its line, none stops the check, the status says usable."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stem_trees as trees

from bassbench.__main__ import main
from bassbench.audio import audio_blocks, read_audio
from bassbench.commands.data import Check
from bassbench.errors import BadInputError
from bassbench.stems.checking import check_dataset, check_file
from bassbench.stems.files import read_header, read_window
from bassbench.stems.layouts import open_dataset


def _cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def _write_aiff(path: Path) -> None:
    soundfile.write(path, trees.tone(100, 3), 44_100, format="AIFF")


def _holding(value: float) -> np.ndarray:
    audio = trees.tone(100, 2)
    audio[5000] = value
    return audio


def _wav_of_sizes(path: Path, riff: int, data: int) -> None:
    """Three seconds whose header says other sizes."""
    content = bytearray(trees.write(path, trees.tone(100, 3)).read_bytes())
    place = content.index(b"data") + 4
    content[4:8], content[place : place + 4] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
    path.write_bytes(content)


def _without_its_length(path: Path) -> None:
    """A flac, or a wav of 64-bit sizes, as a program leaves it that cannot go back to the header."""
    soundfile.write(path, trees.tone(100, 3), 44_100, format="FLAC" if path.suffix == ".flac" else "RF64")
    content = bytearray(path.read_bytes())
    if path.suffix == ".flac":
        content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
    else:
        place = content.index(b"ds64") + 8
        content[place : place + 24] = bytes(24)
    path.write_bytes(content)


def _mp3_without_its_length(path: Path) -> None:
    """Noise, then a tone, in frames of many sizes, the first of which, that tells the length, is taken away."""
    audio = np.concatenate([np.random.default_rng(0).uniform(-0.3, 0.3, (2 * 44_100, 2)), trees.tone(100, 10)])
    soundfile.write(path, audio, 44_100, bitrate_mode="VARIABLE", compression_level=0.2)
    content = path.read_bytes()
    path.write_bytes(content[content.index(content[:2], 4) :])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated.wav": (lambda path: (trees.write(path, trees.tone(100)), _cut(path)), "cut short after 3.6 s"),
    "truncated.flac": (lambda path: (trees.write(path, trees.tone(100)), _cut(path)), "damaged after|cut short"),
    "truncated.mp3": (lambda path: (trees.write(path, trees.tone(100)), _cut(path)), "cut short"),
    "truncated.ogg": (lambda path: (trees.write(path, trees.tone(100)), _cut(path)), "cut short"),
    "truncated.aiff": (lambda path: (_write_aiff(path), _cut(path)), "cut short after"),
    "header.wav": (lambda path: (trees.write(path, trees.tone(100)), _cut(path, 1e-4)), "cut short after 0.0 s"),
    "piped.flac": (_without_its_length, "a flac that does not say how long it is"),
    "unclosed64.wav": (_without_its_length, "header was never closed"),
    "unclosed.wav": (lambda path: _wav_of_sizes(path, 0, 0), "header was never closed"),
    "long.mp3": (_mp3_without_its_length, "of 12.0 s would be read"),
    "empty.wav": (lambda path: path.write_bytes(b""), "not a readable audio file"),
    "text.flac": (lambda path: path.write_text("these are words\n" * 50), "not a readable audio file"),
    "folder.wav": (lambda path: path.mkdir(), "no such audio file"),
    "nothing.wav": (lambda path: trees.write(path, np.zeros((0, 2))), "holds no samples"),
    "nan.wav": (lambda path: trees.write(path, _holding(np.nan), subtype="FLOAT"), "NaN or Inf"),
    "inf.wav": (lambda path: trees.write(path, _holding(np.inf), subtype="FLOAT"), "NaN or Inf"),
    "surround.wav": (lambda path: trees.write(path, trees.tone(100, channels=6)), "6 channels"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_file_is_named_with_its_fault(tmp_path: Path, name: str) -> None:
    make, message = BROKEN[name]
    path = tmp_path / name
    make(path)
    report = check_file(path)
    assert report.fault.startswith(str(path)) and "\n" not in report.fault
    assert any(part in report.fault for part in message.split("|")), report.fault


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_good_files_have_no_fault(tmp_path: Path, suffix: str) -> None:
    for name, audio, rate in (
        ("one sample", np.full((1, 1), 0.5), 44_100),
        ("8 kHz", trees.tone(60, 1, rate=8_000), 8_000),
        ("mono", trees.tone(60, 1, channels=1), 44_100),
    ):
        if suffix == ".mp3" and name == "one sample":
            continue  # its encoder makes no frame of it
        report = check_file(trees.write(tmp_path / f"{name}{suffix}", audio, rate))
        assert report.fault == "" and not report.silent and report.header is not None
    assert check_file(trees.write(tmp_path / f"silent{suffix}", np.zeros((44_100, 2)))).silent


def test_a_wav_written_to_a_pipe_may_have_more_chunks(tmp_path: Path) -> None:
    _wav_of_sizes(tmp_path / "a.wav", 0xFFFFFFFF, 0xFFFFFFFF)
    content = (tmp_path / "a.wav").read_bytes()
    place = content.index(b"data")
    chunk = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + b"Lavf60.16.100\0"
    (tmp_path / "a.wav").write_bytes(content[:place] + chunk + content[place:])
    assert check_file(tmp_path / "a.wav").fault == "" and read_audio(tmp_path / "a.wav").shape[1] == 3 * 44_100


@pytest.mark.parametrize(("riff", "data"), [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000), (0x80000024, 1 << 31)])
def test_a_wav_written_to_a_pipe_is_whole(tmp_path: Path, riff: int, data: int) -> None:
    path = tmp_path / "a.wav"
    _wav_of_sizes(path, riff, data)  # as ffmpeg, SoX and others leave it
    assert check_file(path).fault == ""


def test_words_in_a_comment_say_nothing_of_the_length(tmp_path: Path) -> None:
    words = "Info: a recording"  # the letters of "reco", read as flags, would mean that a number of bytes follows
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 44_100, 2) as file:
        file.comment = words
        file.write(trees.tone(100, 3))
    content = trees.write(tmp_path / "a.mp3", trees.tone(100, 3)).read_bytes()
    title = b"TIT2" + (len(words) + 1).to_bytes(4, "big") + b"\0\0\0" + words.encode()
    (tmp_path / "a.mp3").write_bytes(b"ID3\3\0\0\0\0\0" + bytes([len(title)]) + title + content)
    for name in ("a.flac", "a.mp3"):
        assert words.encode() in (tmp_path / name).read_bytes()[:8192]
        assert check_file(tmp_path / name).fault == ""


def test_a_file_that_would_be_misread_is_refused_by_every_reader(tmp_path: Path) -> None:
    """And one of a steady bit rate, whose length the decoder can tell, is not."""
    unclosed, varying, steady = tmp_path / "a.wav", tmp_path / "b.mp3", tmp_path / "c.mp3"
    _wav_of_sizes(unclosed, 0, 0)
    _mp3_without_its_length(varying)
    cut = [trees.write(tmp_path / f"d{suffix}", trees.tone(100, 3)) for suffix in (".wav", ".mp3", ".ogg")]
    for path in cut:
        _cut(path)
    for path in (unclosed, varying, *cut):
        for read in (read_audio, read_header, lambda path: list(audio_blocks(path)), lambda p: read_window(p, 0, 9)):
            with pytest.raises(BadInputError, match=f"{path.name}: .*(write it anew|cut short)"):
                read(path)
    soundfile.write(steady, trees.tone(100, 5), 44_100, bitrate_mode="CONSTANT", compression_level=0.5)
    content = steady.read_bytes()
    steady.write_bytes(content[content.index(content[:2], 4) :])
    assert read_audio(steady).shape[1] == pytest.approx(5 * 44_100, abs=4000)


def test_notes_of_a_usable_dataset(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        trees.write(tmp_path / name / "bass.wav", trees.tone(60 + len(name), 3))
        trees.write(tmp_path / name / "keys.wav", trees.tone(300 + ord(name[1]), 3))
    trees.write(tmp_path / "one" / "pad.wav", np.zeros((44_100, 2)))
    (tmp_path / "two" / "bass.wav").write_bytes((tmp_path / "three" / "keys.wav").read_bytes())
    trees.write(tmp_path / "four" / "keys.wav", trees.tone(222, 3))
    report = check_dataset(open_dataset(tmp_path))
    assert report.faults == ()
    notes = "\n".join(report.notes)
    assert "pad.wav: silent" in notes and "one: stems of 1.0 to 3.0 s" in notes
    assert "three/keys.wav: same content as " in notes and "four: no bass" in notes
    assert len(report.notes) == 4
    summary = report.summary()
    assert "folders of stems" in summary and "4, 3 with bass and mix" in summary and "44100 Hz: 8" in summary


@pytest.mark.parametrize("make", [trees.musdb, trees.slakh, trees.moisesdb, trees.medleydb, trees.folders, trees.mixes])
def test_the_small_trees_are_usable(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    Check(make(tmp_path)).run()


def test_a_dataset_with_faults_is_refused_after_all_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.musdb(tmp_path)
    _cut(tmp_path / "train" / "A - One" / "bass.wav")
    (tmp_path / "test" / "B - Two" / "other.wav").unlink()
    with pytest.raises(BadInputError, match="2 faults"):
        Check(tmp_path).run()
    out = capsys.readouterr().out
    assert "A - One/bass.wav: cut short" in out and "other.wav missing" in out and "MUSDB18-HQ" in out


def test_status_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.write(tmp_path / "s" / "bass.wav", trees.tone(60, 2))
    path = trees.write(tmp_path / "s" / "keys.wav", trees.tone(300, 2))
    monkeypatch.setattr(sys, "argv", ["bassbench", "data", "check", str(tmp_path)])
    main()
    assert "usable, with 0 notes" in capsys.readouterr().out
    path.write_bytes(b"RIFF")
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and f"fault: {path}" in captured.out
    assert sum(line.startswith("error: ") for line in captured.err.splitlines()) == 1


def test_the_shard_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("webdataset")
    arguments = [str(trees.musdb(tmp_path / "in")), str(tmp_path / "out"), "--seconds", "2", "--split", "test"]
    monkeypatch.setattr(sys, "argv", ["bassbench", "data", "shard", *arguments])
    main()
    assert "1 shard of" in capsys.readouterr().out and (tmp_path / "out" / "000000.tar").is_file()
