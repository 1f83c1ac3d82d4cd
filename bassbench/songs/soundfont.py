"""Parts become audio: notes and controllers played by a General-MIDI synthesiser from a SoundFont."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import soundfile

from bassbench.audio import SAMPLE_RATE, fit_length, resample
from bassbench.errors import BadInputError
from bassbench.songs.arrangement import Part


def default_soundfont() -> Path:
    """TimGM6mb, which pretty_midi bundles."""
    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


@functools.lru_cache(maxsize=2)
def _soundfont_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot read the SoundFont ({error.strerror})") from None


def render_parts(parts: Sequence[Part], seconds: float, *, soundfont: Path | None = None) -> np.ndarray:
    """Render parts together as float32 `(2, samples)` at 44.1 kHz, at the synthesiser's own level."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for part in parts:
        instrument = pretty_midi.Instrument(part.program, part.is_drum, part.name)
        instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.start, n.end) for n in part.notes]
        controls = {7: part.volume, 10: part.pan, 91: part.reverb, 93: part.chorus}
        instrument.control_changes = [pretty_midi.ControlChange(k, v, 0.0) for k, v in controls.items()]
        bends = ((max(time, 0.0), int(np.clip(round(semitones * 4096), -8192, 8191))) for time, semitones in part.bends)
        instrument.pitch_bends = [pretty_midi.PitchBend(value, time) for time, value in bends]
        midi.instruments.append(instrument)
    file = io.BytesIO()
    midi.write(file)
    wave = midirenderer.render_wave_from(_soundfont_bytes(soundfont or default_soundfont()), file.getvalue())
    audio, rate = soundfile.read(io.BytesIO(wave), dtype="float32", always_2d=True)
    samples = round(seconds * SAMPLE_RATE)
    return fit_length(resample(audio.T, rate, SAMPLE_RATE), samples)
