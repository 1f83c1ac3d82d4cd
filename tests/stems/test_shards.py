"""Shards: what is written comes back, cut-off runs go on, all processes and workers together see a sample once."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import stem_trees as trees
from torch.utils.data import DataLoader

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.stems import shards
from bassbench.stems.layouts import StemDataset, open_dataset
from bassbench.stems.shards import ShardedClips, shard_hash, write_shards
from bassbench.stems.windows import WindowRequest

pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StemDataset:
    """Two tracks of six seconds, one of them with notes."""
    root = tmp_path_factory.mktemp("slakh")
    trees.slakh(root, place="Track00001")
    trees.slakh(root, place="Track00002")
    return open_dataset(root)


@pytest.fixture(scope="module")
def folder(dataset: StemDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples of a second in six shards."""
    path = tmp_path_factory.mktemp("shards")
    assert len(write_shards(dataset, path, samples=SAMPLE_RATE, per_shard=2, progress=False)) == 6
    return path


def test_what_is_read_is_what_was_written(dataset: StemDataset, folder: Path) -> None:
    read = {clip.name: clip for clip in ShardedClips(folder, subset=False)}
    assert len(read) == 12
    for track in dataset:
        for second in range(6):
            clip = WindowRequest(track, second * SAMPLE_RATE, SAMPLE_RATE).render()
            back = read[clip.name]
            np.testing.assert_allclose(back.mix, clip.mix, atol=3 / 32767)
            np.testing.assert_allclose(back.bass, clip.bass, atol=2 / 32767)
            assert back.bass_notes == clip.bass_notes and len(clip.bass_notes) == 1 and back.song == clip.song


def test_two_processes_of_two_workers_see_each_sample_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    shares = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        loader = DataLoader(ShardedClips(folder, seed=1), batch_size=None, num_workers=2)
        names = [clip.name for clip in loader]
        seen.update(names)
        shares.append(len(names))
    assert len(seen) == 12 and set(seen.values()) == {1} and shares == [6, 6]


def test_order_and_subsets_follow_seed_and_epoch_and_skip_resumes(folder: Path) -> None:
    first, again = list(ShardedClips(folder, seed=3)), list(ShardedClips(folder, seed=3))
    assert [clip.name for clip in first] == [clip.name for clip in again]
    assert all(np.array_equal(a.mix, b.mix) for a, b in zip(first, again, strict=True))
    other = list(ShardedClips(folder, seed=3, epoch=1))
    assert [clip.name for clip in other] != [clip.name for clip in first]
    assert {clip.name for clip in other} == {clip.name for clip in first}
    resumed = list(ShardedClips(folder, seed=3, skip=5))
    assert [clip.name for clip in resumed] == [clip.name for clip in first[5:]]


def test_urls_and_ranges(folder: Path) -> None:
    assert len(list(ShardedClips(f"file:{folder}/{{000000..000002}}.tar"))) == 6
    assert len(list(ShardedClips([folder / "000000.tar", folder / "000005.tar"]))) == 4


def test_a_cut_off_run_goes_on_and_gives_the_same(dataset: StemDataset, folder: Path, tmp_path: Path) -> None:
    write_shards(dataset, tmp_path, samples=SAMPLE_RATE, per_shard=2, progress=False)
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")}
    assert whole == {path.name: path.read_bytes() for path in folder.glob("*.tar")}
    (tmp_path / "000003.tar").unlink()
    (tmp_path / ".000003.tar.half.tar").write_bytes(b"killed while writing")
    with pytest.raises(BadInputError, match="5 of 6 shards"):
        ShardedClips(tmp_path)
    kept = (tmp_path / "000001.tar").stat().st_mtime_ns
    write_shards(dataset, tmp_path, samples=SAMPLE_RATE, per_shard=2, progress=False)
    assert whole == {path.name: path.read_bytes() for path in tmp_path.glob("[0-9]*.tar")}
    assert (tmp_path / "000001.tar").stat().st_mtime_ns == kept
    with pytest.raises(BadInputError, match=r"other data or settings \(samples"):
        write_shards(dataset, tmp_path, samples=2 * SAMPLE_RATE, per_shard=2, progress=False)


def test_silent_windows_are_left_out_and_loud_ones_turned_down(tmp_path: Path) -> None:
    bass = trees.tone(60, 4, level=2.0)
    bass[2 * SAMPLE_RATE :] = 0
    trees.write(tmp_path / "in" / "s" / "bass.wav", bass, subtype="FLOAT")
    trees.write(tmp_path / "in" / "s" / "keys.wav", np.where(bass, 0.5, 0), subtype="FLOAT")
    write_shards(open_dataset(tmp_path / "in"), tmp_path / "out", samples=SAMPLE_RATE, progress=False)
    made = list(ShardedClips(tmp_path / "out"))
    assert len(made) == 2
    for clip in made:
        assert np.abs(clip.bass).max() / np.abs(clip.mix).max() == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("damage", ["truncated", "not a tar", "missing", "other format"])
def test_a_damaged_shard_is_one_clear_line(folder: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "000000.tar"
    data = (folder / "000000.tar").read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "not a tar":
        path.write_bytes(b"words " * 400)
    elif damage == "other format":
        path.write_bytes(data.replace(b'"stems"', b'"parts"'))
    with pytest.raises(BadInputError) as error:
        list(ShardedClips(str(path)))
    assert "\n" not in str(error.value)


def test_an_empty_folder_and_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="no shards"):
        ShardedClips(tmp_path)
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(BadInputError, match=r"pip install 'bassbench\[webdataset\]'"):
        shards.write_shards(open_dataset(trees.mixes(tmp_path / "in")), tmp_path / "out", progress=False)


def test_the_hash_of_a_shard_is_of_its_audio_and_a_url_is_its_own(tmp_path: Path) -> None:
    hashes, sizes = [], set()
    for start in (0, 1, 0):
        trees.write(tmp_path / "data/song/bass.wav", trees.tone(60))
        trees.write(tmp_path / "data/song/piano.wav", np.roll(trees.tone(300), start, axis=0))
        (tmp_path / "shards/000000.tar").unlink(missing_ok=True)
        (shard,) = write_shards(open_dataset(tmp_path / "data"), tmp_path / "shards", progress=False)
        hashes.append(shard_hash(str(shard)))
        sizes.add(shard.stat().st_size)
    assert hashes[0] == hashes[2] != hashes[1] and len(sizes) == 1
    assert shard_hash("https://host/000000.tar") == "https://host/000000.tar"
    shard.write_bytes(b"not a shard" * 100)
    with pytest.raises(BadInputError, match="cannot read"):
        shard_hash(str(shard))


def test_settings_are_json(folder: Path) -> None:
    settings = json.loads((folder / "shards.json").read_text())
    assert settings["shards"] == 6 and settings["samples"] == SAMPLE_RATE
