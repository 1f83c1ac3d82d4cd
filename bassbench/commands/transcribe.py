"""`python -m bassbench transcribe bass.wav -o bass.mid`: the notes of a bass as a MIDI file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pretty_midi
import soundfile
import soxr
import tyro

from bassbench.audio import read_audio
from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.hearing.transcription import transcribe
from bassbench.results.ownership import note_written, refuse_foreign
from bassbench.songs.arrangement import BASS_PROGRAMS, Note

RATE = 11_025  # all that the transcriber hears
_BLOCK_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Transcribe:
    """Write the notes of a bass recording (one note at a time, 35 to 400 Hz) as MIDI."""

    audio: Annotated[Path, tyro.conf.Positional]
    """The recording: wav, flac, ogg or mp3, mono or stereo, any rate; bass alone."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """The MIDI file (default: the recording's name with .mid, in the current folder)."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write over a file of the default name, whoever made it; -o does so without asking."""
    program: int = 33
    """General-MIDI program of the track, 32 to 39."""

    def run(self) -> None:
        """Run the command.

        Raises:
            BadInputError: the recording cannot be used, no note is heard, or the MIDI file cannot be written, or is
                someone else's.
        """
        output = self.output or Path(f"{self.audio.stem}.mid")
        if output.suffix.lower() not in (".mid", ".midi"):
            raise BadInputError(f"{output}: expected a name that ends in .mid or .midi")
        if self.program not in BASS_PROGRAMS:
            raise BadInputError(f"--program {self.program}: a bass is one of General MIDI's programs 32 to 39")
        if not (self.output or self.overwrite):
            refuse_foreign([output], instead="name it with -o, or give --overwrite")
        notes = transcribe(read_mono(self.audio), RATE)
        if not notes:
            raise BadInputError(f"{self.audio}: no bass note heard (35 to 400 Hz); nothing was written")
        write_midi(output, notes, program=self.program)
        note_written(output)
        print(f"{len(notes)} notes in {output}")


def read_mono(path: Path) -> np.ndarray:
    """A recording as float32 `(1, samples)` at 11.025 kHz, read in blocks so that a long one fits in memory.

    Raises:
        BadInputError: see `bassbench.audio.read_audio`.
    """
    read_audio(path, frames=1)  # is it audio at all?
    with soundfile.SoundFile(path) as file:
        rate, frames = file.samplerate, file.frames
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    blocks = []
    size = _BLOCK_SECONDS * rate
    for start in range(0, frames, size):
        block = read_audio(path, rate, start=start, frames=size).mean(axis=0, dtype=np.float32)
        blocks.append(stream.resample_chunk(block, last=start + size >= frames))
    return np.concatenate(blocks)[None]


def write_midi(path: Path, notes: Sequence[Note], *, program: int) -> None:
    """Write notes as the one track "bass", whole or not at all, times to about a millisecond.

    Raises:
        BadInputError: the file cannot be written.
    """
    midi = pretty_midi.PrettyMIDI(resolution=960)
    track = pretty_midi.Instrument(program, name="bass")
    track.notes = [pretty_midi.Note(note.velocity, note.pitch, note.start, note.end) for note in notes]
    midi.instruments.append(track)
    try:
        with atomic_path(path) as temporary:
            midi.write(str(temporary))
    except OSError as error:
        raise BadInputError(f"{path}: cannot write ({error.strerror})") from None
