"""Arrangements become audio: every part rendered as its own stem, or the mix and its bass, by a General-MIDI synth."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bassbench.audio import SAMPLE_RATE, loudness
from bassbench.errors import BadInputError
from bassbench.songs.arrangement import Arrangement, Note, arrange, song_generator, transposed
from bassbench.songs.effects import apply_effects
from bassbench.songs.families import Production, chosen, key_of, perform, sing
from bassbench.songs.production import finished, played_bass, played_mix
from bassbench.songs.song_bank import Chord, Song
from bassbench.songs.soundfont import render_parts

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
    tuning: float = 0.0
    """Cents by which the whole piece is above concert pitch, if rendered by families."""

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.bass.shape[1] / SAMPLE_RATE


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
    bass_gain, joint_gain, bass = _balance(plan, mix, seconds, soundfont, Production())
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
    families: Sequence[str] = (),
    soundfont: Path | None = None,
) -> Clip:
    """Render one (mix, bass) pair of `samples` (None: the whole song) with its ground truth.

    Deterministic given (song, seed, options). Without `start` the window is the song's own (human pieces) or drawn
    from the seed. The bass is loudness-matched to the mix whatever its program. `families` are names of
    `bassbench.songs.families.FAMILIES`.

    Raises:
        BadInputError: the song is shorter than the window, or has nothing to play in it.
    """
    seconds = song.duration if samples is None else samples / SAMPLE_RATE
    if samples is not None and seconds > song.duration:
        raise BadInputError(f"{song.name}: {song.duration:.1f} s long, too short for a clip of {seconds:.1f} s")
    if start is None:
        room = song.duration - seconds
        start = song.window if song.window else float(song_generator(song, seed + 1_000_003).uniform(0, room))
    shift = key_of(song, seed) if "keys" in families else None
    options = {"vary": vary, "subset": subset, "effects": effects}
    plan = arrange(song, seed, start=start, seconds=seconds, subset_draw=subset_draw, transposition=shift, **options)
    made = Production()
    if families:
        plan, made = perform(plan, song, seed, chosen(families))
        made = sing(plan, made, song, seed, seconds)
        mix = played_mix(plan, made, seconds, soundfont)
    else:
        mix = render_parts(plan.others, seconds, soundfont=soundfont)
    mix = finished(apply_effects(mix, plan.timbre.mix), made)
    bass_gain, joint_gain, bass = _balance(plan, mix, seconds, soundfont, made)
    return Clip(
        name=f"{song.name}-{seed}",
        song=song.name,
        mix=mix * joint_gain,
        bass=bass * bass_gain * joint_gain,
        chords=plan.chords,
        beats=plan.beats,
        downbeats=plan.downbeats,
        bass_notes=plan.bass.notes,
        mix_notes=(*(n for part in plan.others if not part.is_drum for n in part.notes), *made.voice_notes),
        tempo=song.tempo,
        bass_program=plan.bass.program,
        key=transposed(song.key, plan.transposition),
        tuning=made.tuning,
    )


def _balance(
    plan: Arrangement, mix: np.ndarray, seconds: float, soundfont: Path | None, made: Production
) -> tuple[float, float, np.ndarray]:
    layer = plan.timbre.layer
    doubled = (
        () if layer is None else (dataclasses.replace(plan.bass, program=layer, volume=plan.bass.volume * 2 // 3),)
    )
    bass = played_bass(plan, made, seconds, [plan.bass, *doubled], soundfont)
    bass = apply_effects(bass, plan.timbre.bass)
    levels = loudness(mix), loudness(bass)
    bass_gain = 10 ** ((levels[0] + plan.bass_over_mix - levels[1]) / 20) if np.isfinite(levels).all() else 1.0
    peak = float(np.abs(mix + bass * bass_gain).max())
    if peak == 0:
        raise BadInputError("the song is silent in this window; choose another start")
    return float(np.float32(bass_gain)), float(np.float32(_PEAK / peak)), bass
