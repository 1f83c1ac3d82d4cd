"""Stems of shards for the autoencoders: the samples that were written, in any order, and the command that trains."""

import json
from pathlib import Path

import numpy as np
import pytest
import stem_trees as trees

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.stems.layouts import open_dataset
from bassbench.stems.shards import ShardedClips, sharded_stems, write_shards
from reference_model import train_autoencoder

pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples of three seconds in two shards."""
    root, path = tmp_path_factory.mktemp("musdb"), tmp_path_factory.mktemp("shards")
    write_shards(open_dataset(trees.musdb(root)), path, samples=3 * SAMPLE_RATE, per_shard=2, progress=False)
    return path


def test_the_basses_are_those_that_are_streamed(folder: Path) -> None:
    basses = sharded_stems(str(folder), "bass", rounds=2)
    assert len(basses) == 8
    streamed = sorted(clip.bass.tobytes() for clip in ShardedClips(folder, subset=False))
    assert sorted(basses[index].astype(np.float32).tobytes() for index in range(4)) == streamed
    np.testing.assert_array_equal(basses[1], basses[5])


def test_a_mix_is_a_subset_of_the_other_stems_drawn_from_seed_and_index(folder: Path) -> None:
    mixes = sharded_stems(str(folder), "mix", seed=1, rounds=8)
    stems = [place.read() for role, place in mixes.samples[0].items()]
    sums = [np.sum([s for i, s in enumerate(stems) if 1 << i & mask], axis=0) for mask in range(1, 1 << len(stems))]
    found = []
    for index in range(0, len(mixes), len(mixes.samples)):
        np.testing.assert_array_equal(mixes[index], mixes[index])
        errors = [np.abs(mixes[index] - one).max() for one in sums]
        assert min(errors) < 1e-5
        found.append(int(np.argmin(errors)))
    assert "bass" not in mixes.samples[0] and len(set(found)) > 2
    with pytest.raises(IndexError):
        mixes[len(mixes)]


def test_what_cannot_be_used_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="on disk; download or mount"):
        sharded_stems("https://host/{000000..000001}.tar", "bass")
    whole = (folder / "000000.tar").read_bytes()
    (tmp_path / "000000.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(BadInputError, match="write the shards again"):
        sharded_stems(str(tmp_path), "bass")[0]
    changed = sharded_stems(str(folder), "bass")
    place = next(iter(changed.samples[0].values()))
    (tmp_path / "other.tar").write_bytes(b"0" * len(whole))
    with pytest.raises(BadInputError, match="not a sample of this format"):
        type(place)(str(tmp_path / "other.tar"), place.offset, place.size).read()


def test_the_command_trains_on_shards(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["train_autoencoder", "--which", "mix", "--preset", "tiny", "--run", str(tmp_path / "run")]
    command += ["--data", str(folder), "--validation-data", str(folder), "--steps", "2"]
    monkeypatch.setattr("sys.argv", command)
    train_autoencoder.main()
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert any("log_spectral_distance_db" in row for row in rows)
