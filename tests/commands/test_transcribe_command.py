"""`python -m bassbench transcribe`: MIDI that reads back as what was played, one line for what cannot be used."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from bassbench.audio import SAMPLE_RATE, write_audio
from bassbench.commands.transcribe import Transcribe, read_mono
from bassbench.errors import BadInputError
from bassbench.hearing.transcription import transcribe
from bassbench.songs.arrangement import Note, Part
from bassbench.songs.soundfont import render_parts

PLAYED = [Note(0.5 * i, 0.5 * i + 0.4, pitch, 100) for i, pitch in enumerate((28, 33, 40, 36, 33))]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bass") / "bass.wav"
    write_audio(path, render_parts([Part("bass", 33, False, tuple(PLAYED), volume=120)], 3.0))
    return path


def test_the_midi_file_holds_what_was_played(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Transcribe(recording, program=35).run()
    assert "5 notes in bass.mid" in capsys.readouterr().out
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "bass.mid"))
    (track,) = midi.instruments
    assert (track.program, track.is_drum, track.name) == (35, False, "bass")
    notes = sorted(track.notes, key=lambda note: note.start)
    assert [note.pitch for note in notes] == [note.pitch for note in PLAYED]
    assert [note.start for note in notes] == pytest.approx([note.start for note in PLAYED], abs=0.03)
    heard = transcribe(read_mono(recording), 11_025)
    assert [note.end for note in notes] == pytest.approx([note.end for note in heard], abs=0.002)
    assert [note.velocity for note in notes] == [note.velocity for note in heard]
    assert [path.name for path in tmp_path.iterdir()] == ["bass.mid"]


def test_a_recording_read_in_blocks_is_the_recording(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_mono(recording)
    assert whole.shape == (1, round(3.0 * 11_025))
    monkeypatch.setattr("bassbench.commands.transcribe._BLOCK_SECONDS", 1)
    np.testing.assert_allclose(read_mono(recording), whole, atol=1e-6)


def test_what_cannot_be_used_is_one_line(recording: Path, tmp_path: Path) -> None:
    silent, text = tmp_path / "silent.wav", tmp_path / "text.wav"
    write_audio(silent, np.zeros((2, SAMPLE_RATE), np.float32))
    text.write_text("not audio")
    output = tmp_path / "out.mid"
    for command, message in (
        (Transcribe(tmp_path / "missing.wav", output), "no such audio file"),
        (Transcribe(text, output), "not a readable audio file"),
        (Transcribe(silent, output), "no bass note"),
        (Transcribe(recording, tmp_path / "out.txt"), "expected a name that ends in .mid"),
        (Transcribe(recording, output, program=0), "32 to 39"),
        (Transcribe(recording, text / "out.mid"), "cannot write"),
    ):
        with pytest.raises(BadInputError, match=message) as error:
            command.run()
        assert "\n" not in str(error.value)
    assert not output.exists()


def test_a_file_that_it_did_not_write_is_not_overwritten_by_a_default(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "bass.mid"
    mine.write_bytes(b"my own work")
    with pytest.raises(BadInputError, match=r"bass.mid: is there already.*-o, or give --overwrite"):
        Transcribe(recording).run()
    assert mine.read_bytes() == b"my own work"
    Transcribe(recording, overwrite=True).run()
    Transcribe(recording).run()  # what it wrote itself it may write again
    mine.write_bytes(mine.read_bytes() + b"edited")
    with pytest.raises(BadInputError, match="is there already"):
        Transcribe(recording).run()
    Transcribe(recording, mine).run()
