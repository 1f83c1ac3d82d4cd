"""Windows: any rate on one time grid, pairs that sound, subsets, clips for training, requests with content keys."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import stem_trees as trees

from bassbench.audio import SAMPLE_RATE, read_audio
from bassbench.errors import BadInputError
from bassbench.songs.clips import cached_clip
from bassbench.stems.checking import check_dataset
from bassbench.stems.files import read_header, read_window
from bassbench.stems.layouts import Coverage, open_dataset
from bassbench.stems.training_data import training_clips, training_requests
from bassbench.stems.windows import WindowRequest, clip_of, clips, draw_subset, even_starts, sounds, window_requests

TWO_SECONDS = 2 * SAMPLE_RATE


@pytest.mark.parametrize("rate", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_window_is_the_same_stretch_of_the_whole_file(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(rate).normal(0, 0.1, (3 * rate, 2))
    path = trees.write(tmp_path / "a.wav", noise, rate, "FLOAT")
    whole = read_audio(path)
    for start, samples in ((0, 1000), (1, 1), (12_345, 30_000), (66_666, 44_100)):
        window = read_window(path, start, samples)
        assert window.shape == (2, samples) and window.dtype == np.float32
        np.testing.assert_allclose(window, whole[:, start : start + samples], atol=1e-5)


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
def test_depths_agree(tmp_path: Path, kind: str) -> None:
    path = trees.write(tmp_path / "a.wav", trees.tone(60, 1, channels=1), subtype=kind)
    np.testing.assert_allclose(read_window(path, 0, 44_100)[1], trees.tone(60, 1, channels=1)[:, 0], atol=4e-5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_seeking_agrees_with_reading_on(tmp_path: Path, suffix: str) -> None:
    path = trees.write(tmp_path / f"a{suffix}", np.random.default_rng(0).normal(0, 0.1, (100_000, 2)))
    np.testing.assert_allclose(read_window(path, 70_000, 9_000), read_audio(path)[:, 70_000:79_000], atol=1e-4)


def test_beyond_the_ends_is_silence(tmp_path: Path) -> None:
    path = trees.write(tmp_path / "a.wav", trees.tone(100, 1))
    window = read_window(path, 44_000, 300)
    assert np.any(window[:, :100]) and not np.any(window[:, 100:])
    assert not np.any(read_window(path, 44_100, 10)) and read_window(path, 10**9, 7).shape == (2, 7)
    assert read_header(path).samples == 44_100


def test_sounds_counts_whole_seconds() -> None:
    audio = np.zeros((2, 3 * SAMPLE_RATE + 5), np.float32)
    audio[0, SAMPLE_RATE : 2 * SAMPLE_RATE] = 0.01
    assert sounds(audio).tolist() == [False, True, False]
    assert sounds(np.ones((2, 3), np.float32)).tolist() == [True]
    assert sounds(np.zeros((2, 0), np.float32)).tolist() == []


def test_clips_are_windows_in_which_both_sound(tmp_path: Path) -> None:
    bass = trees.tone(60, 30)
    bass[: 10 * SAMPLE_RATE] = 0  # silent for ten seconds
    other = trees.tone(300, 30)
    other[20 * SAMPLE_RATE :] = 0
    trees.write(tmp_path / "song" / "bass.wav", bass, subtype="FLOAT")
    trees.write(tmp_path / "song" / "keys.wav", other, subtype="FLOAT")
    dataset = open_dataset(tmp_path)
    for seed in range(4):
        (request,) = window_requests(dataset, 8 * SAMPLE_RATE, seed=seed)
        assert 8 <= request.start / SAMPLE_RATE <= 14  # six of eight seconds of each
    starts = [request.start for request in window_requests(dataset, 3 * SAMPLE_RATE, per_track=3)]
    assert len(starts) >= 2 and np.diff(sorted(starts)).min() >= 3 * SAMPLE_RATE
    assert list(window_requests(dataset, 31 * SAMPLE_RATE)) == []
    with pytest.raises(BadInputError, match="nowhere sound together"):
        list(clips(dataset, 31 * SAMPLE_RATE))
    clip = next(clips(dataset, 8 * SAMPLE_RATE))
    assert clip.mix.shape == clip.bass.shape == (2, 8 * SAMPLE_RATE) and clip.song == "song"
    assert (clip.chords, clip.beats, clip.downbeats, clip.tempo, clip.key, clip.bass_program) == ((), (), (), 0, "", -1)
    start = next(iter(window_requests(dataset, 8 * SAMPLE_RATE))).start
    np.testing.assert_allclose(clip.bass, bass[start : start + 8 * SAMPLE_RATE].T, atol=1e-6)


def test_clips_need_a_bass(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing to score"):
        list(clips(open_dataset(trees.mixes(tmp_path))))


def test_loud_pairs_are_turned_down_together() -> None:
    loud = {"bass": np.full((2, 9), 0.9, np.float32), "keys": np.full((2, 9), 0.9, np.float32)}
    clip = clip_of("a", "a", loud, {})
    assert np.abs(clip.mix + clip.bass).max() == pytest.approx(10 ** (-1 / 20))
    np.testing.assert_array_equal(clip.mix, clip.bass)


def test_notes_come_from_the_midi_of_the_stem(tmp_path: Path) -> None:
    track = open_dataset(trees.slakh(tmp_path))[0]
    clip = WindowRequest(track, SAMPLE_RATE + SAMPLE_RATE // 4, TWO_SECONDS).render()
    assert [(round(n.start, 3), round(n.end, 3), n.pitch) for n in clip.bass_notes] == [
        (0.0, 0.25, 37),
        (0.75, 1.25, 38),
        (1.75, 2.0, 39),
    ]
    assert clip.mix_notes == ()


BAD_MIDI = {
    "cut": b"MThd",
    "empty": b"",
    "a key signature (7, 255)": b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\n\0\xffY\2\7\xff\0\xff/\0",
}


@pytest.mark.parametrize("fault", BAD_MIDI)
def test_midi_that_cannot_be_read_stops_nothing_and_is_reported(
    tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = trees.slakh(tmp_path).rglob("S02.mid")
    path.write_bytes(BAD_MIDI[fault])
    dataset = open_dataset(tmp_path)
    clip = WindowRequest(dataset[0], 0, TWO_SECONDS).render()
    assert clip.bass_notes == () and np.any(clip.bass)
    warned = capsys.readouterr().err
    assert warned.startswith("warning: ") and str(path) in warned and warned.count("\n") == 1
    report = check_dataset(dataset)
    assert not report.faults and any(str(path) in note and "MIDI" in note for note in report.notes)


def test_tracks_that_give_no_window_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("good", "gone", "silent", "cut", "lone"):
        trees.write(tmp_path / name / "bass.wav", trees.tone(60, 3, level=0.0 if name == "silent" else 0.1))
        if name != "lone":
            trees.write(tmp_path / name / "keys.wav", trees.tone(300, 3))
    (tmp_path / "cut" / "keys.wav").write_bytes(b"RIFF")
    dataset = open_dataset(tmp_path)
    (tmp_path / "gone" / "keys.wav").unlink()
    coverage = Coverage.of_pairs(dataset)
    requests = list(window_requests(dataset, TWO_SECONDS, coverage=coverage))
    assert [request.track.name for request in requests] == ["good"]
    assert set(coverage.left_out) == {"gone", "silent", "cut", "lone"}
    assert str(coverage).startswith("4 of 5 tracks left out: lone (no mix without the bass); ")
    assert "nowhere sound together" in coverage.left_out["silent"] and "keys.wav" in coverage.left_out["cut"]
    assert len(training_clips(dataset, "mix", seconds=2, rounds=1)) == 2 * 2  # of the good and the silent
    assert "2 of 5 tracks left out: " in capsys.readouterr().err
    assert len(training_requests(str(tmp_path))) == 0  # shorter than a clip
    assert "5 of 5 tracks left out" in capsys.readouterr().err


def test_many_tracks_left_out_make_one_short_line() -> None:
    coverage = Coverage(200, {f"t{i}": f"reason {i % 9}" for i in range(100)})
    line = str(coverage)
    assert line.startswith("100 of 200 tracks left out: t0, t9, t18, 9 more (reason 0); ") and line.endswith("; 6 more")
    assert str(Coverage(3)) == ""


def test_subsets_are_never_empty_and_leave_silent_stems_out() -> None:
    stems = {name: np.full((2, 9), 0.1, np.float32) for name in ("bass", "a", "b", "c")}
    stems["c"] = np.zeros((2, 9), np.float32)
    drawn = {draw_subset(stems, np.random.default_rng(seed)) for seed in range(60)}
    assert drawn == {("a",), ("b",), ("a", "b")}
    assert draw_subset(stems, None) == ("a", "b", "c")


def test_keys_follow_content_window_and_subset(tmp_path: Path) -> None:
    track = open_dataset(trees.musdb(tmp_path))[0]
    request = WindowRequest(track, 0, TWO_SECONDS)
    others = [WindowRequest(track, 1, TWO_SECONDS), WindowRequest(track, 0, 9), WindowRequest(track, 0, TWO_SECONDS, 0)]
    before = {one.key for one in [request, *others]}
    assert len(before) == 4 and request.key in before
    trees.write(tmp_path / "train" / "A - One" / "drums.wav", trees.tone(222), subtype="PCM_16")
    assert request.key not in before


def test_the_clip_cache_takes_windows_too(tmp_path: Path) -> None:
    request = WindowRequest(open_dataset(trees.musdb(tmp_path))[0], 0, TWO_SECONDS, subset=3)
    cold, warm = cached_clip(request), cached_clip(request)  # type: ignore[arg-type]
    np.testing.assert_array_equal(cold.mix, warm.mix)
    np.testing.assert_allclose(cold.bass, request.render().bass, atol=2e-5)


@pytest.mark.parametrize("which", ["mix", "bass"])
def test_training_clips_cover_the_dataset_and_repeat_exactly(tmp_path: Path, which: str) -> None:
    dataset = open_dataset(trees.musdb(tmp_path))
    made = training_clips(dataset, which, seconds=2.5, rounds=3)
    assert len(made) == 2 * 3 * 3
    for i in range(len(made)):
        assert made[i].shape == (2, round(2.5 * SAMPLE_RATE)) and made[i].dtype == np.float32 and np.any(made[i])
        np.testing.assert_array_equal(made[i], made[i])
    if which == "mix":
        assert any(not np.array_equal(made[0], made[0 + 6 * again]) for again in (1, 2))  # another subset
    else:
        np.testing.assert_array_equal(made[0], made[6])
    with pytest.raises(IndexError):
        made[len(made)]


def test_training_clips_avoid_silence(tmp_path: Path) -> None:
    bass = trees.tone(60, 10)
    bass[2 * SAMPLE_RATE :] = 0
    trees.write(tmp_path / "s" / "bass.wav", bass)
    trees.write(tmp_path / "s" / "keys.wav", trees.tone(300, 10))
    made = training_clips(open_dataset(tmp_path), "bass", seconds=2, seed=1)
    assert np.mean([bool(np.any(made[i])) for i in range(len(made))]) > 0.75  # one of five windows sounds


def test_training_clips_of_plain_mixes_and_of_nothing(tmp_path: Path) -> None:
    dataset = open_dataset(trees.mixes(tmp_path))
    assert training_clips(dataset, "mix", seconds=100)[0].shape[1] == dataset[0].samples
    with pytest.raises(BadInputError, match="has a bass"):
        training_clips(dataset, "bass")
    with pytest.raises(BadInputError, match="'drums'"):
        training_clips(dataset, "drums")


@pytest.mark.parametrize(("length", "samples"), [(100, 30), (30, 30), (1, 30), (0, 30), (61, 30)])
def test_even_starts_cover_everything(length: int, samples: int) -> None:
    starts = even_starts(length, samples)
    covered = {i for start in starts for i in range(start, start + samples)}
    assert set(range(length)) <= covered and max(starts) <= max(length - samples, 0)
    assert len(starts) == max(-(-length // samples), 1)


def test_long_files_are_read_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.write(tmp_path / "s" / "bass.wav", trees.tone(60, 90, channels=1))
    trees.write(tmp_path / "s" / "keys.wav", trees.tone(300, 90, channels=1))
    lengths = []
    read = soundfile.SoundFile.read

    def spy(file: soundfile.SoundFile, *args: object, **kwargs: object) -> np.ndarray:
        lengths.append(len(audio := read(file, *args, **kwargs)))
        return audio

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    list(clips(open_dataset(tmp_path), TWO_SECONDS))
    assert 0 < max(lengths) <= 20 * SAMPLE_RATE
