"""Systems by name, plug-ins that are broken, and the baselines."""

from collections.abc import Iterator

import numpy as np
import pytest
from tiny_suite import PLUGIN, forget, installed

from bassbench.audio import assert_audio_valid, loudness
from bassbench.commands.list import List
from bassbench.errors import BadInputError
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.registry import all_metrics, clip_metrics
from bassbench.metrics.rhythm import grid_lags, grid_share, heard_onsets, median_lag_ms, sixteenths
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.render import Clip
from bassbench.songs.song_bank import Song
from bassbench.suite import baselines as baseline_systems
from bassbench.suite.accompanist import Accompanist
from bassbench.suite.baselines import (
    BASELINES,
    NearestNeighbour,
    OtherSong,
    RootNotes,
    estimated_beats,
    estimated_roots,
)
from bassbench.suite.systems import load_system, parse_arguments

SAMPLES = 12 * 44_100


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with installed(PLUGIN):
        yield


@pytest.fixture(scope="module")
def requests(song: Song) -> list[ClipRequest]:
    return [ClipRequest(song, seed, samples=SAMPLES) for seed in (0, 1, 3)]


@pytest.fixture(scope="module")
def clip(requests: list[ClipRequest]) -> Clip:
    return cached_clip(requests[0])


@pytest.fixture
def _training_songs(requests: list[ClipRequest], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(baseline_systems, "clip_requests", lambda split, count: requests)
    baseline_systems._index.cache_clear()
    yield
    baseline_systems._index.cache_clear()


def test_arguments_are_read_as_python() -> None:
    assert parse_arguments(["a=1", "b=0.5", "c=True", "d=small", "e='3'", "f=None"]) == {
        "a": 1, "b": 0.5, "c": True, "d": "small", "e": "3", "f": None,
    }  # fmt: skip


@pytest.mark.usefixtures("_training_songs")
@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_accompanists_that_depend_on_no_other_clip(name: str, clip: Clip) -> None:
    system = load_system(name)
    assert isinstance(system, Accompanist)
    quiet = np.stack([clip.mix, 0.1 * np.roll(clip.mix, 7_000, axis=1)])
    both = system.accompany(quiet, seeds=[1, 2])
    assert both.shape == quiet.shape and both.dtype == np.float32
    assert_audio_valid(both[0], samples=SAMPLES)
    np.testing.assert_array_equal(both[1:], system.accompany(quiet[1:], seeds=[2]))
    assert loudness(both[0]) == pytest.approx(loudness(clip.mix) - 2, abs=1.5)
    assert not system.accompany(np.zeros((1, 2, SAMPLES), np.float32), seeds=[0]).any()


def test_root_notes_finds_beats_and_roots(clip: Clip) -> None:
    beats, roots = estimated_roots(clip.mix)
    assert min(abs(np.median(np.diff(beats)) - beat) for beat in (0.5, 1.0)) < 0.03  # 120 BPM, or half of it
    truth = [next(chord for chord in clip.chords if chord.start <= beat + 0.1 < chord.end) for beat in beats]
    fits = [root in chord.pitch_classes for root, chord in zip(roots, truth, strict=True)]
    assert np.mean(fits) > 0.6  # chance is a quarter
    track = bass_pitch(RootNotes().accompany(clip.mix[None], seeds=[0])[0])
    assert np.quantile(track.midi[track.voiced], [0.05, 0.95]) == pytest.approx([33, 33], abs=6.5)  # E1 to Eb2


def test_root_notes_is_on_time(clip: Clip) -> None:
    late = grid_lags(estimated_beats(clip.mix), sixteenths(clip.beats, clip.seconds))
    assert abs(np.median(late)) < 0.01
    grid = sixteenths(clip.beats, clip.seconds)
    onsets = heard_onsets(RootNotes().accompany(clip.mix[None], seeds=[0])[0])
    assert abs(median_lag_ms(onsets, grid)) < 15
    assert grid_share(onsets, grid) > 0.9


@pytest.mark.usefixtures("_training_songs")
@pytest.mark.parametrize("system", [NearestNeighbour, OtherSong])
def test_a_long_mix_has_bass_to_its_end(clip: Clip, system: type) -> None:
    mix = np.tile(clip.mix, 2)
    bass = system().accompany(mix[None], seeds=[0])[0]
    assert bass.shape == mix.shape
    assert loudness(bass[:, SAMPLES:]) == pytest.approx(loudness(bass[:, :SAMPLES]), abs=1)


@pytest.mark.usefixtures("_training_songs")
def test_the_nearest_neighbour_of_a_training_mix_is_itself(requests: list[ClipRequest]) -> None:
    for request in requests:
        known = cached_clip(request)
        bass = NearestNeighbour().accompany(known.mix[None], seeds=[0])[0]
        assert np.corrcoef(bass.ravel(), known.bass.ravel())[0, 1] > 0.999


@pytest.mark.usefixtures("_training_songs")
def test_other_song_follows_its_seed_alone(clip: Clip) -> None:
    mixes = np.stack([clip.mix] * 8)
    basses = OtherSong().accompany(mixes, seeds=range(8))
    assert 1 < len({bass.tobytes() for bass in basses}) <= 3


@pytest.mark.parametrize("system", [NearestNeighbour, OtherSong])
def test_no_training_songs_are_refused(system: type) -> None:
    with pytest.raises(BadInputError, match="songs must be"):
        system(songs=0)


def test_a_broken_plug_in_is_named_and_takes_no_other_down(capsys: pytest.CaptureFixture[str]) -> None:
    forget()
    assert {"tiny level", "match", "chord-tone share"} <= set(clip_metrics())
    assert len(all_metrics()) > len(clip_metrics())
    with pytest.raises(BadInputError, match=r"plug-in 'tiny-broken' of tiny-plugin \(bassbench.suite.systems\)"):
        load_system("tiny-broken")
    assert load_system("tiny-tone", ["hz=80"]).name == "tiny tone"
    List().run()
    shown = capsys.readouterr().out
    for name in ("tiny-tone", "tiny level", "tiny", "log-mel", "human", "reference", "fadtk:vggish", "FAD"):
        assert name in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("tiny-broken ")]
    assert "BROKEN: plug-in 'tiny-broken' of tiny-plugin" in line


def test_a_broken_metric_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    from bassbench.plugins import warn_once

    warn_once.cache_clear()
    forget()
    clip_metrics()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: plug-in 'tiny-broken-metric' of tiny-plugin")
