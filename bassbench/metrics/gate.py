"""The collapse gate: before any score, is this audio a bass at all?  Silence scores well on some distances.

Conventions: audio is `(channels, samples)`, full scale 1. Every flag has a name, a measured number and a limit.
"""

from dataclasses import dataclass

import numpy as np

from bassbench.audio import SAMPLE_RATE
from bassbench.hearing.pitch import PitchTrack, bass_pitch

_FULL_SCALE = 0.999
_MEMORY_FRAMES = 5


@dataclass(frozen=True)
class GateLimits:
    """Where each number turns into a flag. No real bass of the song bank's test split reaches any of them."""

    silent_db: float = -60.0
    """RMS below this, in dBFS: "silent"."""
    quieter_db: float = -20.0
    """RMS this far below the reference's, where there is one: "faint"."""
    louder_db: float = 20.0
    """RMS this far above the reference's: "loud"."""
    clipping_share: float = 1e-3
    """More than this share of samples at full scale: "clipped"."""
    dc_share: float = 0.25
    """Mean above this share of the RMS in either channel: "offset"."""
    stuck_share: float = 0.3
    """One unbroken note for more than this share of the audio: "stuck"."""


@dataclass(frozen=True)
class GateReport:
    """What the gate measured; `flags` names what is wrong, empty for audio that passes."""

    rms_db: float
    relative_db: float
    """RMS against the reference's; NaN without one."""
    clipping_share: float
    dc_share: float
    stuck_share: float
    flags: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was flagged."""
        return not self.flags


def gate(
    audio: np.ndarray,
    sample_rate: int = SAMPLE_RATE,
    *,
    reference: np.ndarray | None = None,
    limits: GateLimits | None = None,
) -> GateReport:
    """Measure one clip `(channels, samples)`, optionally against the real bass in its place.

    NaN, Inf or no samples at all is flagged "broken" and nothing else is measured.
    """
    limits = limits or GateLimits()
    if audio.size == 0 or not np.isfinite(audio).all():
        nan = float("nan")
        return GateReport(nan, nan, nan, nan, nan, ("broken",))
    rms_db = decibels(rms(audio))
    relative_db = float("nan") if reference is None else rms_db - decibels(rms(reference))
    clipping = clipping_share(audio)
    dc = dc_share(audio)
    silent = rms_db < limits.silent_db
    stuck = 0.0 if silent else stuck_share(bass_pitch(audio, sample_rate))
    found = {
        "silent": silent,
        "faint": not silent and relative_db < limits.quieter_db,
        "loud": relative_db > limits.louder_db,
        "clipped": clipping > limits.clipping_share,
        "offset": not silent and dc > limits.dc_share,
        "stuck": stuck > limits.stuck_share,
    }
    return GateReport(rms_db, relative_db, clipping, dc, stuck, tuple(name for name, is_so in found.items() if is_so))


def rms(audio: np.ndarray) -> float:
    """Root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def decibels(amplitude: float) -> float:
    """20 log10 of an amplitude, not below -200."""
    return float(20 * np.log10(max(amplitude, 1e-10)))


def clipping_share(audio: np.ndarray) -> float:
    """Share of samples at full scale or beyond."""
    return float(np.mean(np.abs(audio) >= _FULL_SCALE))


def dc_share(audio: np.ndarray) -> float:
    """The larger channel mean in size over the RMS of all; 0 for silence."""
    level = rms(audio)
    return float(np.abs(audio.mean(axis=1, dtype=np.float64)).max() / level) if level > 1e-10 else 0.0


def stuck_share(track: PitchTrack) -> float:
    """Longest stretch of one pitch without a new attack, as a share of all frames.

    A stretch ends where the pitch is lost, moves by more than half a semitone, or the level rises by 2 dB over the
    quietest of the last 100 ms: a repeated note is not a stuck one.
    """
    count = len(track.times)
    if count < 2:
        return 0.0
    # Without the deepest silence the level of a frame is never zero.
    level = 20 * np.log10(np.maximum(track.level, 1e-10))
    padded = np.concatenate([np.full(_MEMORY_FRAMES, level[0]), level[:-1]])
    quietest = np.lib.stride_tricks.sliding_window_view(padded, _MEMORY_FRAMES)[:count].min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.abs(np.diff(track.midi, prepend=np.nan)) > 0.5
    goes_on = track.voiced & ~moved & (level - quietest < 2.0)
    breaks = np.flatnonzero(~np.concatenate([[False], goes_on, [False]]))
    return float((np.diff(breaks).max() - 1) / count)
