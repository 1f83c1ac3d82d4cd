"""The gate: each kind of collapse gets its own flag and a healthy bass none."""

import numpy as np
import pytest

from bassbench.audio import SAMPLE_RATE
from bassbench.metrics.gate import gate

SECONDS = 4.0


def line(
    pitches: tuple[float, ...] = (41.2, 55.0, 49.0, 73.4, 41.2, 41.2, 41.2, 55.0), level: float = 0.3
) -> np.ndarray:
    """Eight plucked notes, three of them the same in a row."""
    time = np.arange(round(SECONDS / len(pitches) * SAMPLE_RATE)) / SAMPLE_RATE
    pluck = np.minimum(time / 0.005, 1) * np.exp(-4 * time)
    notes = [pluck * sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3)) for f in pitches]
    mono = np.concatenate(notes)
    return np.tile(level * mono / np.abs(mono).max(), (2, 1)).astype(np.float32)


def drone() -> np.ndarray:
    time = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    return np.tile(0.3 * np.sin(2 * np.pi * 55 * time), (2, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("audio", "flags"),
    [
        (line(), ()),
        (np.zeros((2, 44_100), np.float32), ("silent",)),
        (line(level=1e-4), ("silent",)),
        (np.clip(line() * 20, -1, 1), ("clipped",)),
        (line() + np.float32(0.2), ("offset",)),
        (drone(), ("stuck",)),
        (np.full((2, 44_100), np.nan, np.float32), ("broken",)),
        (np.where(np.arange(44_100) == 5, np.inf, 0.1) * np.ones((2, 1)), ("broken",)),
        (np.zeros((2, 0), np.float32), ("broken",)),
    ],
)
def test_each_collapse_has_its_flag(audio: np.ndarray, flags: tuple[str, ...]) -> None:
    report = gate(audio)
    assert report.flags == flags
    assert report.passed is not bool(flags)


def test_level_is_judged_against_the_real_bass() -> None:
    assert gate(line(level=0.01), reference=line()).flags == ("faint",)
    assert gate(line(), reference=line(level=0.01)).flags == ("loud",)
    assert gate(line(level=0.15), reference=line()).relative_db == pytest.approx(-6.02, abs=0.01)
    assert np.isnan(gate(line()).relative_db)


def test_numbers_are_known() -> None:
    report = gate(drone())
    assert report.rms_db == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.01)
    assert report.stuck_share > 0.9
    assert gate(line()).stuck_share < 0.3


@pytest.mark.parametrize("samples", [1, 100, 2000])
def test_short_audio_is_judged_too(samples: int) -> None:
    assert gate(line()[:, 5000 : 5000 + samples]).stuck_share == 0.0
