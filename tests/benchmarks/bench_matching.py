"""The contrastive matcher's similarities: every mix with every bass, from audio."""

import pytest
from measuring import Measure
from subjects import CLIP_FRAMES, noise, seconds

import contrastive


@pytest.mark.parametrize("clips", [2, 4, 8])
def test_scoring(measure: Measure, clips: int) -> None:
    """On the CPU, with the shipped weights."""
    audio = noise(2 * clips, CLIP_FRAMES)
    scores = measure(
        lambda: contrastive.score(audio[:clips], audio[clips:]),
        group="match by clips",
        case="mixes with basses",
        audio=2 * clips * seconds(CLIP_FRAMES),
        clips=clips,
    )
    assert scores.shape == (clips, clips)
