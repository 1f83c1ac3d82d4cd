"""Rendering of the song bank: one pair of mix and bass with its ground truth."""

import pytest
from measuring import Measure

from bassbench.songs.render import render_clip
from bassbench.songs.song_bank import load_songs


@pytest.mark.parametrize("effects", [False, True], ids=["dry", "effects"])
def test_render(measure: Measure, effects: bool) -> None:
    if effects:
        pytest.importorskip("pedalboard")
    song = load_songs("test")[0]
    clip = measure(
        lambda: render_clip(song, 0, effects=effects),
        group="song bank",
        case="a clip with effects" if effects else "a clip",
        audio=render_clip(song, 0).seconds,
    )
    assert clip.mix.shape == clip.bass.shape
