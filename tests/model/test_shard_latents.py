"""Latents of shards: the same pairs for one process and for two, encoded once, and trained on by the command."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import stem_trees as trees
from accelerate import Accelerator

from bassbench.audio import SAMPLE_RATE
from bassbench.errors import BadInputError
from bassbench.stems.layouts import open_dataset
from bassbench.stems.shard_files import is_sharded
from bassbench.stems.shards import write_shards
from reference_model import latents, train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.conditions import CHORDS, NOTES, PLANES
from reference_model.latents import shard_latents
from reference_model.presets import PRESETS

pytest.importorskip("webdataset")
CODERS = tuple(Autoencoder(PRESETS["tiny"].autoencoders[which]).eval() for which in ("mix", "bass"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples of three seconds in two shards."""
    root, path = tmp_path_factory.mktemp("slakh"), tmp_path_factory.mktemp("shards")
    for name in ("Track00001", "Track00002"):
        trees.slakh(root, place=name)
    write_shards(open_dataset(root), path, samples=3 * SAMPLE_RATE, per_shard=2, progress=False)
    return path


def process(rank: int, count: int) -> Accelerator:
    """What the encoding needs of an accelerator."""
    made = SimpleNamespace(process_index=rank, num_processes=count, wait_for_everyone=lambda: None)
    return made  # type: ignore[return-value]


def test_two_processes_encode_the_clips_of_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for count in (1, 2):
        monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / str(count)))
        monkeypatch.setenv("WORLD_SIZE", str(count))
        for rank in range(count):
            monkeypatch.setenv("RANK", str(rank))
            if rank < count - 1:
                with pytest.raises(BadInputError, match="all machines share"):  # the other has not encoded its part
                    shard_latents(str(folder), *CODERS, accelerator=process(rank, count), frames=16)
            else:
                found[count] = shard_latents(str(folder), *CODERS, accelerator=process(rank, count), frames=16)
    assert [path.name for path in found[1].paths] == [path.name for path in found[2].paths]
    assert len(found[1]) == 4
    for one, two in zip(found[1], found[2], strict=False):
        np.testing.assert_array_equal(one[0], two[0])
        assert one[0].shape[0] == 16 and one[1].shape[0] == 8


def test_a_second_call_and_a_cut_off_pass_encode_nothing_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    first = shard_latents(str(folder), *CODERS, accelerator=process(0, 1), variants=2, frames=16)
    assert len(first) > 4  # other subsets in the second pass
    first.paths[0].unlink()
    latents._read.cache_clear()
    next(tmp_path.glob("latents/*/shards-*.json")).unlink()  # as if cut off before the end
    encoded = []
    monkeypatch.setattr(latents, "encode_pair", lambda *given: encoded.append(1) or encode(*given))
    again = shard_latents(str(folder), *CODERS, accelerator=process(0, 1), variants=2, frames=16)
    assert again.paths == first.paths and len(encoded) == 1
    with pytest.raises(BadInputError, match="none of"):
        shard_latents(str(folder), *CODERS, accelerator=process(0, 1), variants=2, frames=500)


def test_notes_are_kept_of_shards_too_and_added_to_what_was_encoded_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    with monkeypatch.context() as before:
        before.setattr(latents, "write_latents", lambda path, mix, bass, truth: write(path, mix, bass))
        plain = shard_latents(str(folder), *CODERS, accelerator=process(0, 1), frames=16)
    asked = shard_latents(str(folder), *CODERS, accelerator=process(0, 1), frames=16, notes=True)
    assert asked.paths == plain.paths
    examples = [asked.example(np.random.default_rng([seed]))[1] for seed in range(12)]
    assert all(mix.shape == (16 + PLANES, 16) for mix in examples)
    assert np.any([mix[16:][NOTES] for mix in examples]) and not np.any([mix[16:][CHORDS] for mix in examples])


write = latents.write_latents
encode = latents.encode_pair


def test_shards_written_anew_are_encoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    found, shard = [], tmp_path / "shards/000000.tar"
    for hertz in (60, 70):
        trees.write(tmp_path / "data/song/bass.wav", trees.tone(hertz))
        trees.write(tmp_path / "data/song/piano.wav", trees.tone(300))
        shard.unlink(missing_ok=True)
        write_shards(open_dataset(tmp_path / "data"), tmp_path / "shards", progress=False)
        os.utime(shard, (0, 0))  # nothing but the content tells them apart
        found.append(shard_latents(str(tmp_path / "shards"), *CODERS, accelerator=process(0, 1), frames=16))
    assert len(found[0]) == len(found[1]) == 1 and found[0].paths != found[1].paths


def test_shards_that_were_moved_are_not_encoded_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    first = shard_latents(str(folder), *CODERS, accelerator=process(0, 1), frames=16)
    monkeypatch.setattr(latents, "ShardedClips", None)  # not even read
    moved = shutil.copytree(folder, tmp_path / "moved", copy_function=shutil.copyfile)
    assert shard_latents(str(moved), *CODERS, accelerator=process(0, 1), frames=16).paths == first.paths


def test_the_command_trains_on_shards(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["train_diffusion", "--preset", "tiny", "--steps", "2", "--device", "cpu", "--run", str(tmp_path / "run")]
    command += ["--sample-every", "0", "--frames", "16", "--data", str(folder), "--validation-data", str(folder)]
    for coder, which in zip(CODERS, ("mix", "bass"), strict=True):
        coder.save_pretrained(tmp_path / f"{which}.safetensors")
        command += [f"--{which}-autoencoder", str(tmp_path / f"{which}.safetensors")]
    monkeypatch.setattr("sys.argv", command)
    train_diffusion.main()
    assert "validation_loss" in json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])


def test_what_counts_as_shards(folder: Path, tmp_path: Path) -> None:
    assert is_sharded(str(folder)) and is_sharded("https://host/{000000..000007}.tar")
    assert not is_sharded("train") and not is_sharded(str(tmp_path))
