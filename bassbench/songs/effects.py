"""Timbre variety for training: performance details and audio effects, drawn for each rendering of a song.

One small SoundFont is too narrow a world for a codec. About half of the renderings get a played-like velocity curve,
detuning, a second layer under the bass, glides, and chains of common effects (Pedalboard) on bass and mix.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError

Effect = tuple[str, dict[str, float]]
"""The name of a Pedalboard plug-in and its parameters."""

LAYERS = (38, 39, 80, 81, 87)
"""Programs that may sound beneath a bass: synth basses, square and saw leads, bass and lead."""


@dataclass(frozen=True)
class Timbre:
    """What is done to one rendering."""

    bass: tuple[Effect, ...] = ()
    mix: tuple[Effect, ...] = ()
    velocity_gamma: float = 1.0
    """Velocities v become 127 (v / 127) ^ gamma."""
    velocity_jitter: float = 0.0
    """Deviation of each bass note's velocity, in MIDI steps."""
    detune: float = 0.0
    """Cents by which all pitched parts are off concert pitch."""
    bass_detune: float = 0.0
    """Cents by which the bass is off the others."""
    layer: int | None = None
    """Program that doubles the bass."""
    glide: float = 0.0
    """Seconds in which a bass note reaches its pitch from that of the note before, at most two semitones away."""


def draw_timbre(generator: np.random.Generator) -> Timbre:
    """A random timbre; four of ten basses and mixes stay as the synthesiser plays them."""
    bass = _chain(generator, drive=0.3, low_pass=0.25) if generator.random() < 0.6 else ()
    mix = _chain(generator, drive=0.1, low_pass=0.1) if generator.random() < 0.6 else ()
    played, off_pitch, layered, gliding = generator.random(4) < (0.5, 0.3, 0.12, 0.12)
    gamma, jitter = 2 ** generator.uniform(-0.7, 0.7), generator.uniform(0, 10)
    detune, bass_detune = generator.uniform(-25, 25), generator.normal(0, 4)
    layer, glide = int(generator.choice(LAYERS)), generator.uniform(0.03, 0.1)
    return Timbre(
        bass=bass,
        mix=mix,
        velocity_gamma=float(gamma) if played else 1.0,
        velocity_jitter=float(jitter) if played else 0.0,
        detune=float(detune) if off_pitch else 0.0,
        bass_detune=float(bass_detune) if off_pitch else 0.0,
        layer=layer if layered else None,
        glide=float(glide) if gliding else 0.0,
    )


def apply_effects(audio: np.ndarray, effects: Sequence[Effect]) -> np.ndarray:
    """Play `(2, samples)` at 44.1 kHz through a chain of Pedalboard plug-ins, at a peak of about -6 dBFS.

    The level of the result is not that of the input: match it afterwards.

    Raises:
        BadInputError: Pedalboard is not installed.
    """
    if not effects:
        return audio
    try:
        import pedalboard
    except ImportError:
        raise BadInputError("training data with effects needs Pedalboard: pip install 'bassbench[train]'") from None
    peak = float(np.abs(audio).max())
    if peak == 0:
        return audio
    board = pedalboard.Pedalboard([getattr(pedalboard, name)(**parameters) for name, parameters in effects])
    return board(audio * np.float32(0.5 / peak), SAMPLE_RATE)


def _chain(generator: np.random.Generator, *, drive: float, low_pass: float) -> tuple[Effect, ...]:
    """Each effect with its own probability, in the order of a usual signal path, parameters within musical ranges."""

    def between(low: float, high: float) -> float:
        return round(float(generator.uniform(low, high)), 4)

    def frequency(low: float, high: float) -> float:
        return round(float(math.exp(generator.uniform(math.log(low), math.log(high)))), 1)

    # All is drawn before anything is left out, so that no effect shifts the randomness of the next.
    candidates: list[tuple[float, Effect]] = [
        (0.4, ("Compressor", {"threshold_db": between(-30, -12), "ratio": between(2, 8), "attack_ms": between(1, 30),
                              "release_ms": between(40, 300)})),
        (drive, ("Distortion", {"drive_db": between(4, 22)})),
        (0.6, ("LowShelfFilter", {"cutoff_frequency_hz": frequency(70, 200), "gain_db": between(-7, 6)})),
        (0.6, ("PeakFilter", {"cutoff_frequency_hz": frequency(200, 3000), "gain_db": between(-8, 8),
                              "q": between(0.4, 2)})),
        (0.6, ("HighShelfFilter", {"cutoff_frequency_hz": frequency(1500, 6000), "gain_db": between(-12, 9)})),
        (low_pass, ("LowpassFilter", {"cutoff_frequency_hz": frequency(500, 6000)})),
        (0.15, ("Chorus", {"rate_hz": between(0.3, 1.5), "depth": between(0.05, 0.3), "mix": between(0.15, 0.45)})),
        (0.1, ("Phaser", {"rate_hz": between(0.1, 1), "depth": between(0.2, 0.6), "mix": between(0.2, 0.5)})),
        (0.15, ("Reverb", {"room_size": between(0.05, 0.5), "wet_level": between(0.03, 0.2), "dry_level": 0.8})),
    ]  # fmt: skip
    heard = generator.random(len(candidates))
    return tuple(
        effect for chance, (probability, effect) in zip(heard, candidates, strict=True) if chance < probability
    )
