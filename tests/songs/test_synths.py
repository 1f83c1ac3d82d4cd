"""Synthesised instruments: in tune, seeded, and silent where nothing is played."""

import numpy as np
import pytest

from bassbench.hearing.pitch import bass_pitch
from bassbench.songs.arrangement import Note
from bassbench.songs.synths import BASSES, draw_patch, synthesise

NOTES = tuple(Note(0.8 * i, 0.8 * i + 0.75, pitch, 100) for i, pitch in enumerate((28, 33, 40, 47)))
SAMPLES = int(3.6 * 44_100)


def _played(kind: str, seed: int, *, cents: float = 0.0, notes: tuple[Note, ...] = NOTES) -> np.ndarray:
    patch = draw_patch(np.random.default_rng(seed), kind)
    return synthesise(patch, notes, SAMPLES, cents=cents, generator=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", BASSES)
@pytest.mark.parametrize("cents", [0.0, -35.0])
def test_basses_are_in_tune_within_five_cents(kind: str, cents: float) -> None:
    for seed in range(3):
        track = bass_pitch(_played(kind, seed, cents=cents))
        for note in NOTES:
            inside = (track.times > note.start + 0.3) & (track.times < note.end - 0.1) & track.voiced
            found = 100 * (float(np.median(track.midi[inside])) - note.pitch)
            assert abs(found - cents) < 5, f"{kind} {seed}, pitch {note.pitch}: {found:.1f} cents"


@pytest.mark.parametrize("kind", [*BASSES, "voice"])
def test_a_patch_plays_the_same_every_time_and_rests_in_rests(kind: str) -> None:
    notes = (Note(0.5, 1.0, 45, 90), Note(2.5, 3.0, 48, 90))
    first, again, other = (_played(kind, seed, notes=notes) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.shape == (2, SAMPLES) and first.dtype == np.float32 and np.isfinite(first).all()
    assert np.abs(first).max() == pytest.approx(0.5, rel=1e-3)
    sounding = np.sqrt(np.square(first[:, 22_050:44_100]).mean())
    for start, stop in ((0, 21_000), (60_000, 109_000), (145_000, SAMPLES)):
        assert np.sqrt(np.square(first[:, start:stop]).mean()) < 0.02 * sounding


def test_nothing_played_is_silence() -> None:
    assert not _played("808", 0, notes=()).any()


def test_an_808_glides_from_note_to_note() -> None:
    patch = draw_patch(np.random.default_rng(0), "808")
    slow = type(patch)("808", patch.values | {"glide": 0.4, "drop": 0.0, "decay": 5.0, "release": 0.1})
    notes = (Note(0.0, 1.0, 33, 100), Note(1.0, 3.0, 40, 100))
    track = bass_pitch(synthesise(slow, notes, SAMPLES, generator=np.random.default_rng(0)))
    between = track.midi[(track.times > 1.05) & (track.times < 1.2)]
    assert (between > 34).any() and (between < 39.5).any()
    assert np.median(track.midi[(track.times > 2.2) & (track.times < 2.8)]) == pytest.approx(40, abs=0.05)


def test_an_unknown_synthesiser_is_an_error() -> None:
    with pytest.raises(ValueError, match="choose from subtractive"):
        draw_patch(np.random.default_rng(0), "theremin")
