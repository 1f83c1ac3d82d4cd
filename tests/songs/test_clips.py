"""The clip cache: what is read back is what was rendered, corrupt entries are rebuilt, requests are stable."""

import numpy as np
import pytest

from bassbench.cache import cache_folder
from bassbench.errors import BadInputError
from bassbench.songs.clips import ClipRequest, StemClips, cached_clip, clip_requests
from bassbench.songs.song_bank import Song


@pytest.mark.parametrize("vary", [True, False])
def test_cold_and_warm_cache_agree(song: Song, vary: bool) -> None:
    request = ClipRequest(song, 21, vary=vary)
    cold, warm, direct = cached_clip(request), cached_clip(request), request.render()
    np.testing.assert_array_equal(cold.bass, warm.bass)
    np.testing.assert_allclose(cold.mix, direct.mix, atol=1 / 32767)
    for field in ("name", "song", "chords", "beats", "downbeats", "bass_notes", "mix_notes", "key", "bass_program"):
        assert getattr(cold, field) == getattr(warm, field) == getattr(direct, field)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no truth", "empty"])
def test_a_corrupt_entry_is_rebuilt(song: Song, damage: str) -> None:
    request = ClipRequest(song, 22)
    good = cached_clip(request)
    samples_file = cache_folder("clips") / f"{request.key}.npy"
    data = samples_file.read_bytes()
    if damage == "truncated":
        samples_file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        samples_file.write_bytes(data[:5000] + bytes([data[5000] ^ 255]) + data[5001:])
    elif damage == "empty":
        samples_file.write_bytes(b"")
    else:
        samples_file.with_suffix(".json").unlink()
    np.testing.assert_array_equal(cached_clip(request).bass, good.bass)
    assert samples_file.read_bytes() == data


def test_keys_depend_on_everything_that_changes_the_sound(song: Song) -> None:
    requests = [ClipRequest(song, 1), ClipRequest(song, 2), ClipRequest(song, 1, samples=None)]
    requests += [ClipRequest(song, 1, vary=False), ClipRequest(song, 1, subset=True)]
    requests.append(ClipRequest(song, 1, subset=True, subset_draw=1))
    assert len({request.key for request in requests}) == len(requests)
    assert ClipRequest(song, 1).key == ClipRequest(song, 1).key


def test_more_clips_extend_fewer() -> None:
    few, many = clip_requests("test", 5), clip_requests("test", 9)
    assert [r.song.name for r in few] == [r.song.name for r in many[:5]]
    with pytest.raises(BadInputError, match="asked for 100000"):
        clip_requests("test", 100_000)
    with pytest.raises(BadInputError, match="asked for 0"):
        clip_requests("test", 0)


def test_stem_clips_are_memory_mapped_slices_of_the_cache(song: Song) -> None:
    request = ClipRequest(song, 23)
    clip = cached_clip(request)
    stem = StemClips((request,), "bass")[0]
    np.testing.assert_array_equal(stem[:, 100:200].astype(np.float32) / 32767, clip.bass[:, 100:200])
