"""The classifier of bass programs: it knows those that it hears again, on other songs."""

import numpy as np

from bassbench.songs.arrangement import BASS_PROGRAMS
from bassbench.songs.song_bank import load_songs
from experiments.timbre import fit_timbre, timbre_example, timbre_protocol


def test_it_knows_the_programs_on_test_songs() -> None:
    classifier = fit_timbre(48)
    song = load_songs("test")[0]
    heard = [classifier.identify(timbre_example(song, program)) for program in BASS_PROGRAMS]
    assert np.mean(np.array(heard) == BASS_PROGRAMS) >= 0.6


def test_the_protocol_tells_the_examples() -> None:
    assert "48 real basses" in timbre_protocol(48) != timbre_protocol(96)
