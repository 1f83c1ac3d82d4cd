"""Windows of many songs in one array, and what is refused."""

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.metrics.song_windows import SongWindows, paired_windows, validate

SONGS = [np.full((count, 3), float(count)) for count in (2, 1, 4)]


def test_songs_lie_one_after_the_other() -> None:
    windows = SongWindows.stacked(SONGS, "reference")
    np.testing.assert_array_equal(windows.counts, [2, 1, 4])
    np.testing.assert_array_equal(windows.starts, [0, 2, 3])
    np.testing.assert_array_equal(windows.song, [0, 0, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(windows.samples, np.concatenate(SONGS))
    np.testing.assert_array_equal(SongWindows.singly(SONGS[2], "reference").song, np.arange(4))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: SongWindows.stacked([], "first"), "the first set is empty"),
        (lambda: SongWindows.stacked([*SONGS, np.ones((0, 3))], "first"), "without windows"),
        (lambda: SongWindows.stacked([*SONGS, np.ones((1, 4))], "first"), "one embedder for all"),
        (lambda: SongWindows.stacked([np.ones(3)], "first"), r"\(windows, dim\)"),
        (lambda: SongWindows.stacked([np.full((2, 3), np.nan)], "first"), "NaN"),
        (
            lambda: validate(SongWindows.stacked(SONGS, "a"), SongWindows.stacked([np.ones((2, 4))], "b")),
            "one embedder for both",
        ),
        (
            lambda: paired_windows(SONGS, SONGS, SONGS[:2]),
            "cannot pair 3 songs with 2",
        ),
    ],
)
def test_bad_input_is_named(act, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        act()
