"""The features: pitch where it should be, nothing but pitch and time, level and stereo width left out."""

import numpy as np
import pytest

from contrastive.config import FeatureConfig
from contrastive.features import FLOOR, STEPS_PER_DECIBEL, features, pitch_hz

CONFIG = FeatureConfig()
RATE = 44_100


def _tone(pitch: float, seconds: float = 3.0) -> np.ndarray:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    return 0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)[None].astype(np.float32)


def _bin(pitch: float) -> int:
    return round((pitch - CONFIG.lowest + CONFIG.room) * CONFIG.bins_per_semitone)


def test_a_tower_sees_the_whole_bass_range() -> None:
    seen = pitch_hz(CONFIG)[CONFIG.room * CONFIG.bins_per_semitone :]
    assert seen[0] == pytest.approx(27.5) and seen[0] <= 30


@pytest.mark.parametrize("pitch", [23, 28, 33, 41, 60, 80])
def test_semitones_are_told_apart(pitch: int) -> None:
    middle = features(_tone(pitch), CONFIG)[: CONFIG.pitched, 45].astype(int)
    assert middle.argmax() == _bin(pitch)
    neighbours = middle[[_bin(pitch - 1), _bin(pitch + 1)]]
    assert middle.max() - neighbours.max() > 2 * STEPS_PER_DECIBEL


def test_a_full_scale_sine_is_at_its_level() -> None:
    quiet = features(_tone(40), CONFIG)
    assert quiet[:, 45].max() == pytest.approx(-FLOOR * STEPS_PER_DECIBEL, abs=2)


def test_transposition_is_a_step_along_the_bins() -> None:
    below, above = features(_tone(36), CONFIG)[:, 45], features(_tone(41), CONFIG)[:, 45]
    step = 5 * CONFIG.bins_per_semitone
    around = slice(_bin(36) - 4, _bin(36) + 5)
    moved = slice(around.start + step, around.stop + step)
    assert np.abs(below[around].astype(int) - above[moved]).max() < 25 * STEPS_PER_DECIBEL
    assert below[around].argmax() == above[moved].argmax()


def test_delay_is_a_step_along_the_frames() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32)
    late = np.concatenate([np.zeros((2, 10 * CONFIG.hop), np.float32), noise], axis=1)[:, : noise.shape[1]]
    a, b = features(noise, CONFIG), features(late, CONFIG)
    assert np.abs(a[:, 20:80].astype(int) - b[:, 30:90]).max() <= STEPS_PER_DECIBEL


def test_neither_level_nor_stereo_form_matters() -> None:
    generator = np.random.default_rng(1)
    mono = generator.standard_normal((1, 3 * RATE)).astype(np.float32) * 0.05
    base = features(mono, CONFIG).astype(int)
    for other in (0.01 * mono, 4 * mono, np.repeat(mono, 2, axis=0), np.concatenate([mono, -mono])):
        assert np.abs(features(other, CONFIG) - base).max() <= 1


def test_attacks_above_the_pitched_range_are_seen() -> None:
    tone = np.repeat(_tone(30), 2, axis=0)
    hiss = tone.copy()
    burst = np.diff(0.05 * np.random.default_rng(2).standard_normal((2, 4001)), axis=1)
    hiss[:, 60_000:64_000] += burst
    upper = slice(CONFIG.pitched, None)
    rise = features(hiss, CONFIG)[upper].astype(int) - features(tone, CONFIG)[upper]
    assert rise[:, 41:44].max() > 30 and np.abs(rise[:, 60:]).max() <= 2


@pytest.mark.parametrize("samples", [1, 100, CONFIG.hop, CONFIG.hop + 1])
def test_any_length_and_silence(samples: int) -> None:
    frames = -(-samples // CONFIG.hop)
    silent = features(np.zeros((2, samples), np.float32), CONFIG)
    assert silent.shape == (CONFIG.bins, frames) and silent.dtype == np.uint8 and not silent.any()


def test_a_long_file_in_chunks_is_the_same_as_its_parts() -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal((1, 600 * CONFIG.hop)).astype(np.float32)
    whole = features(noise, CONFIG).astype(int)
    start = 500 * CONFIG.hop
    part = features(noise[:, start:], CONFIG).astype(int)
    difference = whole[:, 512:590] - part[:, 12:90]
    assert np.abs(difference - np.median(difference)).max() <= 1


def test_a_hop_that_cannot_be_decimated_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        FeatureConfig(hop=1470)
