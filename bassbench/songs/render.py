"""Arrangements become audio: every part rendered as its own stem, or the mix and its bass, by a General-MIDI synth."""

import dataclasses
import functools
import io
from collections.abc import Sequence
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import soundfile

from bassbench.audio import SAMPLE_RATE, fit_length, loudness, resample
from bassbench.errors import BadInputError
from bassbench.songs.arrangement import Arrangement, Note, Part, arrange, song_generator, transposed
from bassbench.songs.effects import apply_effects
from bassbench.songs.song_bank import Chord, Song

CLIP_SAMPLES = 256 * 4096  # 23.8 s: the paper's training length
_PEAK = 10 ** (-1 / 20)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A rendered pair and its ground truth, times in seconds from the clip's start.

    `mix` (without bass) and `bass` are float32 `(2, samples)` at 44.1 kHz; their sum peaks at -1 dBFS or below.
    """

    name: str
    song: str
    mix: np.ndarray
    bass: np.ndarray
    chords: tuple[Chord, ...]
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    bass_notes: tuple[Note, ...]
    mix_notes: tuple[Note, ...]
    tempo: float
    bass_program: int
    key: str

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.bass.shape[1] / SAMPLE_RATE


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


def render_stems(
    song: Song, seed: int, *, start: float = 0.0, seconds: float | None = None, soundfont: Path | None = None
) -> dict[str, np.ndarray]:
    """Every track of one arrangement as its own stem, "bass" first; the balance is that of `render_clip`.

    Returns float32 `(2, samples)` by track name, with one joint gain so that their sum peaks at -1 dBFS or below.
    """
    seconds = song.duration - start if seconds is None else seconds
    plan = arrange(song, seed, start=start, seconds=seconds)
    stems = {part.name: render_parts([part], seconds, soundfont=soundfont) for part in plan.others}
    mix = np.sum(list(stems.values()), axis=0)
    bass_gain, joint_gain, bass = _balance(plan, mix, seconds, soundfont)
    return {"bass": bass * bass_gain * joint_gain} | {name: stem * joint_gain for name, stem in stems.items()}


def render_clip(
    song: Song,
    seed: int,
    *,
    start: float | None = None,
    samples: int | None = CLIP_SAMPLES,
    vary: bool = True,
    subset: bool = False,
    subset_draw: int = 0,
    effects: bool = False,
    soundfont: Path | None = None,
) -> Clip:
    """Render one (mix, bass) pair of `samples` (None: the whole song) with its ground truth.

    Deterministic given (song, seed, options). Without `start` the window is the song's own (human pieces) or drawn
    from the seed. The bass is loudness-matched to the mix whatever its program.

    Raises:
        BadInputError: the song is shorter than the window, or has nothing to play in it.
    """
    seconds = song.duration if samples is None else samples / SAMPLE_RATE
    if samples is not None and seconds > song.duration:
        raise BadInputError(f"{song.name}: {song.duration:.1f} s long, too short for a clip of {seconds:.1f} s")
    if start is None:
        room = song.duration - seconds
        start = song.window if song.window else float(song_generator(song, seed + 1_000_003).uniform(0, room))
    options = {"vary": vary, "subset": subset, "effects": effects}
    plan = arrange(song, seed, start=start, seconds=seconds, subset_draw=subset_draw, **options)
    mix = apply_effects(render_parts(plan.others, seconds, soundfont=soundfont), plan.timbre.mix)
    bass_gain, joint_gain, bass = _balance(plan, mix, seconds, soundfont)
    return Clip(
        name=f"{song.name}-{seed}",
        song=song.name,
        mix=mix * joint_gain,
        bass=bass * bass_gain * joint_gain,
        chords=plan.chords,
        beats=plan.beats,
        downbeats=plan.downbeats,
        bass_notes=plan.bass.notes,
        mix_notes=tuple(note for part in plan.others if not part.is_drum for note in part.notes),
        tempo=song.tempo,
        bass_program=plan.bass.program,
        key=transposed(song.key, plan.transposition),
    )


def _balance(
    plan: Arrangement, mix: np.ndarray, seconds: float, soundfont: Path | None
) -> tuple[float, float, np.ndarray]:
    layer = plan.timbre.layer
    doubled = (
        () if layer is None else (dataclasses.replace(plan.bass, program=layer, volume=plan.bass.volume * 2 // 3),)
    )
    bass = render_parts([plan.bass, *doubled], seconds, soundfont=soundfont)
    bass = apply_effects(bass, plan.timbre.bass)
    levels = loudness(mix), loudness(bass)
    bass_gain = 10 ** ((levels[0] + plan.bass_over_mix - levels[1]) / 20) if np.isfinite(levels).all() else 1.0
    peak = float(np.abs(mix + bass * bass_gain).max())
    if peak == 0:
        raise BadInputError("the song is silent in this window; choose another start")
    return float(np.float32(bass_gain)), float(np.float32(_PEAK / peak)), bass
