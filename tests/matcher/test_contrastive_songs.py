"""Songs as features and what batches are drawn from them: known places, fair negatives, a cache that heals."""

from dataclasses import replace

import numpy as np
import pytest

from bassbench.cache import cache_folder
from bassbench.errors import BadInputError
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Song
from contrastive.batch import beat_frames, draw_batch, elsewhere
from contrastive.config import FeatureConfig
from contrastive.features import Place, view
from contrastive.songs import SongFeatures, features_of, song_features, tonic_of
from contrastive.validation import ranks, transposed

CONFIG = FeatureConfig(semitones=12, room=6, upper_bands=2, bins_per_semitone=1)
FRAMES = 60


def _song(index: int, *, frames: int = 400, tempo: float = 120.0, tonic: int = -1) -> SongFeatures:
    """Features whose value tells the frame; the bass carries the song's number in its upper bands."""
    ramp = np.tile((np.arange(frames) // 2).astype(np.uint8), (CONFIG.bins, 1))
    ramp[CONFIG.pitched :] = index + 1
    downbeats = np.arange(0, frames / CONFIG.frames_per_second, 4 * 60 / tempo)
    return SongFeatures(f"song {index}", ramp, ramp.copy(), tonic, tempo, downbeats)


def test_a_view_is_moved_in_pitch_and_time() -> None:
    features = np.arange(CONFIG.bins)[:, None] + np.zeros((1, 50), int)
    features[CONFIG.pitched :] += np.arange(50) * 10
    plain = view(features, Place(0, 1.0, 0), 5, CONFIG)
    assert plain.shape == (CONFIG.view + CONFIG.upper_bands, 5)
    assert plain[0, 0] == CONFIG.room
    assert view(features, Place(0, 1.0, 6), 5, CONFIG)[0, 0] == 0  # what was lower is seen where it was not
    assert view(features, Place(0, 1.0, -6), 5, CONFIG)[0, 0] == 2 * CONFIG.room
    start = CONFIG.pitched
    assert view(features, Place(3, 2.0, 0), 3, CONFIG)[-2].tolist() == [start + 30, start + 50, start + 70]
    assert view(features, Place(48, 1.0, 0), 3, CONFIG)[-2].tolist() == [start + 480, start + 490, start + 490]
    with pytest.raises(ValueError, match="room for 6"):
        view(features, Place(0, 1.0, 7), 3, CONFIG)


def test_transposed_features_are_what_a_moved_view_sees() -> None:
    features = np.random.default_rng(0).integers(0, 256, (CONFIG.bins, 30)).astype(np.uint8)
    for semitones in (-6, -1, 0, 3, 6):
        moved = view(transposed(features, semitones, CONFIG), Place(0, 1.0, 0), 30, CONFIG)
        assert np.array_equal(moved, view(features, Place(0, 1.0, semitones), 30, CONFIG))
    with pytest.raises(ValueError, match="room for 6"):
        transposed(features, 7, CONFIG)


def test_ranks() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.7], [0.3, 0.3, 0.3]])
    assert ranks(scores).tolist() == [1.0, 3.0, 2.0]


def test_elsewhere_does_not_fit_and_stays_inside() -> None:
    song = _song(0)
    beat = beat_frames(song, CONFIG)
    for seed in range(200):
        generator = np.random.default_rng(seed)
        last = song.frames - 1 - FRAMES
        place = Place(float(generator.uniform(0, last)), 1.0, int(generator.integers(-6, 7)))
        other = elsewhere(song, place, generator, FRAMES, CONFIG)
        assert other.semitones == place.semitones and abs(other.start - place.start) >= beat
        assert 0 <= other.start <= last


def test_a_batch_holds_each_pair_once_and_its_hard_negatives() -> None:
    songs = [_song(i, tempo=100 + 2 * i, tonic=i % 12) for i in range(20)]
    for seed in range(6):
        batch = draw_batch(songs, np.random.default_rng(seed), CONFIG, pairs=5, frames=FRAMES)
        again = draw_batch(songs, np.random.default_rng(seed), CONFIG, pairs=5, frames=FRAMES)
        assert np.array_equal(batch.mix, again.mix) and np.array_equal(batch.bass, again.bass)
        assert len(batch.mix) == 5 and len(batch.bass) == 5 * 2
        names = batch.mix[:, -1, 0]
        assert len(set(names)) == 5
        assert np.array_equal(batch.bass[:, -1, 0], np.tile(names, 2))
        # The true bass is seen at the very frames and the very pitch of its mix.
        assert np.array_equal(batch.bass[:5], batch.mix)


def test_true_and_false_basses_are_transposed_alike() -> None:
    rows = np.tile(np.arange(CONFIG.bins, dtype=np.uint8)[:, None], (1, 400))
    songs = [SongFeatures(str(i), rows, rows, i % 12, 120.0, np.arange(0, 12, 2.0)) for i in range(12)]
    seen = []
    for seed in range(150):
        batch = draw_batch(songs, np.random.default_rng(seed), CONFIG, pairs=4, frames=FRAMES)
        seen.append(CONFIG.room - batch.bass[:8, 0, 0].astype(int))
    true, moved = np.array(seen)[:, :4].ravel(), np.array(seen)[:, 4:].ravel()
    assert set(true) <= set(range(-6, 7)) and set(moved) <= set(range(-6, 7))
    assert abs(true.mean() - moved.mean()) < 0.6 and abs(true.std() - moved.std()) < 0.8


def test_songs_of_unlike_length_and_few_songs() -> None:
    with pytest.raises(ValueError, match="fewer than"):
        elsewhere(_song(0, frames=30), Place(0, 1.0, 0), np.random.default_rng(0), FRAMES, CONFIG)
    batch = draw_batch([_song(0)], np.random.default_rng(0), CONFIG, pairs=3, frames=FRAMES)
    assert len(batch.mix) == 3


def test_tonics() -> None:
    assert [tonic_of(key) for key in ("C major", "Eb minor", "F# minor", "Cb major", "")] == [0, 3, 6, 11, -1]


def test_features_are_computed_once_and_healed(song: Song) -> None:
    requests = [ClipRequest(song, seed, 6 * 44_100, subset=True) for seed in (0, 1, 0)]
    first = features_of(requests, CONFIG)
    assert [features.frames for features in first] == [180] * 3 and first[0].mix.shape[0] == CONFIG.bins
    assert np.array_equal(first[0].bass, first[2].bass) and not np.array_equal(first[0].bass, first[1].bass)
    files = sorted(cache_folder("matcher_features").rglob("*.npz"))
    assert len(files) == 2
    before = files[1].stat().st_mtime_ns
    files[0].write_bytes(files[0].read_bytes()[:500])
    again = features_of(requests, CONFIG)
    assert files[1].stat().st_mtime_ns == before
    assert all(np.array_equal(a.mix, b.mix) and a.tempo == b.tempo for a, b in zip(first, again, strict=True))


def test_short_clips_and_the_human_split_are_refused(song: Song) -> None:
    with pytest.raises(BadInputError, match="the matcher needs 5 s"):
        features_of([ClipRequest(replace(song, name="brief"), 0, 3 * 44_100)], CONFIG)
    with pytest.raises(BadInputError, match="for testing only"):
        song_features("human", CONFIG)
    with pytest.raises(BadInputError):
        song_features("nonsense", CONFIG)
