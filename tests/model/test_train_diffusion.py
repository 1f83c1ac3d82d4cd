"""The diffusion trainer and its latents: resumes to the same trace, learns, refuses what it cannot continue."""

import dataclasses
import json
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import die_at_write

from bassbench.errors import BadInputError
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Song
from bassbench.training.checkpoint import load_tensors, save_tensors
from reference_model import latents, train_diffusion
from reference_model.autoencoder import Autoencoder
from reference_model.latents import LatentPairs, encode_pair, encoder_hash, latent_pairs
from reference_model.presets import PRESETS
from reference_model.train_diffusion import TrainingConfig, resolved, train, validate
from reference_model.unet import UNet

UNREPEATED = ("time", "clips_per_second", "gflops")
"""Fields of a log that differ between two runs of the same numbers."""


@dataclasses.dataclass(frozen=True)
class Melodies:
    """Pairs made up in memory: the bass follows the first dimensions of the mix."""

    frames: int = 16
    poison_after: int = 10**9
    drawn: list[int] = dataclasses.field(default_factory=list)

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        self.drawn.append(1)
        mix = generator.standard_normal((16, self.frames)).cumsum(1) / 3
        bass = mix[:8].copy()
        if len(self.drawn) > self.poison_after:
            bass[0, 0] = np.nan
        return f"melody {len(self.drawn)}", mix, bass


def config(run: Path, **changes: object) -> TrainingConfig:
    every = {"log_every": 1, "validate_every": 10, "checkpoint_every": 5}
    tiny = TrainingConfig(run=run, preset="tiny", warmup=2, device="cpu", precision="no", **every)
    return dataclasses.replace(tiny, **changes)


def log(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in UNREPEATED} for row in rows]


class Killed(BaseException):
    pass


def test_a_killed_run_resumes_to_the_same_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = dataclasses.replace(PRESETS["tiny"].unet, dropout=0.2)
    dropout = dataclasses.replace(PRESETS["tiny"], unet=unet)
    whole = train(config(tmp_path / "whole", variant=dropout), Melodies(), Melodies())

    def kill_at_13(average: UNet, unet: UNet, decay: float, *, step: int) -> None:
        if step == 13:
            raise Killed
        update(average, unet, decay, step=step)

    update = train_diffusion.update_average
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(train_diffusion, "update_average", kill_at_13)
        train(config(tmp_path / "cut", variant=dropout), Melodies(), Melodies())
    assert len(log(tmp_path / "cut")) == 13  # 12 steps and a validation; the checkpoint is of step 10
    with (tmp_path / "cut/log.jsonl").open("a") as file:
        file.write('{"step": 1')  # a line cut off in the middle
    resumed = train(config(tmp_path / "cut", variant=dropout), Melodies(), Melodies())
    assert log(tmp_path / "cut") == log(tmp_path / "whole")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_learns_and_ships_the_averaged_weights(tmp_path: Path) -> None:
    before = validate(UNet(PRESETS["tiny"].unet).eval(), Melodies())
    average = train(
        config(tmp_path, steps=100, batch_size=8, learning_rate=4e-3, ema=0.9, validate_every=100),
        Melodies(),
        Melodies(),
    )
    after = validate(average, Melodies())
    assert after["validation_loss"] < 0.9 * before["validation_loss"]
    assert after["validation_loss"] < 0.95 * after["validation_loss_unconditional"]
    shipped = UNet.from_pretrained(tmp_path / "unet.safetensors")
    assert validate(shipped, Melodies())["validation_loss"] == pytest.approx(after["validation_loss"], rel=0.01)


def test_validation_is_the_same_every_time() -> None:
    unet = UNet(PRESETS["tiny"].unet).eval()
    assert validate(unet, Melodies()) == validate(unet, Melodies())


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    train(config(tmp_path, steps=5), Melodies(), Melodies())
    before, source = log(tmp_path), Melodies()
    train(config(tmp_path, steps=5), source, Melodies())
    assert not source.drawn and log(tmp_path) == before


def test_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    train(config(tmp_path, steps=5), Melodies(), Melodies())
    with pytest.raises(BadInputError, match=r"steps was 5, is 6"):
        train(config(tmp_path, steps=6), Melodies(), Melodies())
    train(config(tmp_path, steps=5, log_every=5, threads=1), Melodies(), Melodies())


def test_other_positions_and_widths_are_trained_and_a_run_that_knew_no_choice_goes_on(tmp_path: Path) -> None:
    unet = train(config(tmp_path / "a", steps=5, positions="absolute", widths=(8, 12)), Melodies(), Melodies())
    assert unet.config.positions == "absolute" and unet.config.widths == (8, 12)
    assert UNet.from_pretrained(tmp_path / "a" / "unet.safetensors").config == unet.config
    with pytest.raises(BadInputError, match="positions was absolute, is dynamic"):
        train(config(tmp_path / "a", steps=5, widths=(8, 12)), Melodies(), Melodies())
    with pytest.raises(BadInputError, match="divide by the heads"):
        train(config(tmp_path / "b", steps=5, widths=(8, 13)), Melodies(), Melodies())

    train(config(tmp_path / "old", steps=5), Melodies(), Melodies())
    tensors, metadata = load_tensors(tmp_path / "old" / "checkpoint.safetensors")
    for name in ("positions", "widths"):
        del metadata["config"][name]
    save_tensors(tmp_path / "old" / "checkpoint.safetensors", tensors, metadata)
    train(config(tmp_path / "old", steps=5), Melodies(), Melodies())


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not finite any more at step 7"):
        train(config(tmp_path), Melodies(poison_after=8 * 4), Melodies())
    assert log(tmp_path)[-1]["step"] == 7
    dump = json.loads((tmp_path / "non_finite.json").read_text())
    drawn = range(33, 37)  # the first four only to count operations
    assert dump["step"] == 7 and dump["clips"] == [f"melody {index}" for index in drawn]


@pytest.mark.parametrize("changes", [{"steps": 0}, {"batch_size": -1}, {"checkpoint_every": 7, "log_every": 2}])
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(BadInputError):
        resolved(config(tmp_path, **changes))


# Latents


def clip_audio(indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index in indices:
        audio = np.random.default_rng(index).standard_normal((2, 2, 4096 * (20 + index))).astype(np.float32)
        yield audio[0], audio[1]


def encoded(indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for mix, bass in clip_audio(indices):
        yield mix[:, ::2048].reshape(4, -1), bass[:, ::4096].reshape(2, -1)


def test_clips_are_encoded_once_and_damage_is_repaired(tmp_path: Path) -> None:
    asked: list[int] = []

    def listed(indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        asked.extend(indices)
        return encoded(indices)

    keys = ["a", "b", "c"]
    pairs = latent_pairs(keys, listed, tmp_path, frames=16)
    expected = [[array.copy() for array in pairs[index]] for index in range(3)]
    assert asked == [0, 1, 2] and pairs[2][1].shape == (2, 22)
    for damage in (lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:200] + b"?" + data[201:]):
        path = tmp_path / "b.npz"
        path.write_bytes(damage(path.read_bytes()))
        asked.clear()
        latents._read.cache_clear()
        again = latent_pairs(keys, listed, tmp_path, frames=16)
        assert asked == [1]
        for index in range(3):
            for one, other in zip(expected[index], again[index], strict=True):
                np.testing.assert_array_equal(one, other)


def test_crops_are_aligned_and_drawn_from_the_generator(tmp_path: Path) -> None:
    def ramps(indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for index in indices:
            time = np.arange(20 + index, dtype=np.float32)
            yield np.stack([time, time]), -time[None]

    pairs = latent_pairs(["a", "b", "c"], ramps, tmp_path, frames=16)
    names, mixes, basses = zip(*(pairs.example(np.random.default_rng(seed)) for seed in range(40)), strict=True)
    mix, bass = np.stack(mixes).astype(float), np.stack(basses).astype(float)
    assert mix.shape == (40, 2, 16) and bass.shape == (40, 1, 16)
    assert np.array_equal(mix[:, :1], -bass) and (np.diff(mix[:, 0]) == 1).all()
    assert set(mix[:, 0, 0]) == set(range(7))  # every possible start of the longest clip
    assert {name.split("@")[0] for name in names} == {"a", "b", "c"}
    assert [name.split("@")[1] for name in names] == [str(int(start)) for start in mix[:, 0, 0]]
    assert np.array_equal(pairs.example(np.random.default_rng(3))[1], mixes[3])


def _trained(run: Path, kill_at: int) -> None:
    torch.set_num_threads(1)
    die_at_write(run, kill_at)
    train(config(run, steps=400, checkpoint_every=20, validate_every=100), Melodies(), Melodies())


def test_a_run_killed_at_any_moment_goes_on_to_the_same_trace(tmp_path: Path) -> None:
    whole, run, spawn = tmp_path / "whole", tmp_path / "cut", multiprocessing.get_context("spawn")
    train(config(whole, steps=400, checkpoint_every=20, validate_every=100), Melodies(), Melodies())
    for kill_at, status in ((40, -signal.SIGKILL), (61, -signal.SIGKILL), (3, -signal.SIGKILL), (0, 0)):
        process = spawn.Process(target=_trained, args=(run, kill_at))
        process.start()
        process.join()
        assert process.exitcode == status
        assert (log(run)[-1]["step"] == 400) == (kill_at == 0)
    assert log(run) == log(whole)


def test_accumulated_micro_batches_give_the_same_trace(tmp_path: Path) -> None:
    whole, parts = (config(tmp_path / str(count), batch_size=8, accumulate=count) for count in (1, 4))
    for each in (whole, parts):
        train(each, Melodies(), Melodies())
    for one, other in zip(log(whole.run), log(parts.run), strict=True):
        assert one.keys() == other.keys()
        assert all(other[name] == pytest.approx(value, rel=1e-4, abs=1e-6) for name, value in one.items())
    with pytest.raises(BadInputError, match="multiple of 3"):
        train(config(tmp_path / "odd", batch_size=8, accumulate=3), Melodies(), Melodies())


def test_the_throughput_is_in_the_log(tmp_path: Path) -> None:
    train(config(tmp_path, steps=5), Melodies(), Melodies())
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(row["clips_per_second"] > 0 and row["gflops"] > 0 for row in rows if "loss" in row)


def test_samples_are_taken_ten_validations_apart_unless_asked_otherwise(tmp_path: Path) -> None:
    assert resolved(config(tmp_path, validate_every=30)).sample_every == 300
    assert resolved(config(tmp_path, sample_every=0)).sample_every == 0
    taken: list[int] = []

    def sample(unet: UNet, step: int) -> dict[str, float]:
        taken.append(step)
        return {"sample_fad": 1.0}

    train(config(tmp_path, steps=10, sample_every=4), Melodies(), Melodies(), sample=sample)
    assert taken == [4, 8, 10] and [row["step"] for row in log(tmp_path) if "sample_fad" in row] == taken


def test_training_starts_from_given_weights(tmp_path: Path) -> None:
    first = train(config(tmp_path / "first", steps=20, learning_rate=5e-3), Melodies(), Melodies())
    start = tmp_path / "first/unet.safetensors"
    second = train(config(tmp_path / "second", steps=1, learning_rate=1e-9, initial=start), Melodies(), Melodies())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def test_a_dry_run_prints_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reference_model.train_diffusion", "--run", str(tmp_path / "run"), "--dry-run"]
    done = subprocess.run([*command, "--preset", "paper"], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed["config"]["steps"] == 500_000 and 40e6 < printed["parameters"]["unet"] < 44e6
    assert not (tmp_path / "run").exists()


def test_numbers_become_tensorboard_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(config(tmp_path, steps=2, tensorboard=True), Melodies(), Melodies())
    assert list((tmp_path / "tensorboard").glob("events.out*"))


def test_short_clips_are_left_out(tmp_path: Path) -> None:
    assert len(latent_pairs(["a", "b", "c"], encoded, tmp_path, frames=22)) == 1
    with pytest.raises(BadInputError, match="none of 3 clips has 64"):
        latent_pairs(["a", "b", "c"], encoded, tmp_path, frames=64)


def test_the_hash_is_of_the_encoder_alone(tmp_path: Path) -> None:
    coder = Autoencoder(PRESETS["tiny"].autoencoders["bass"])
    generator = torch.Generator().manual_seed(0)
    for tensor in coder.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator).abs() + 0.1)
    before = encoder_hash(coder)
    coder.save_pretrained(tmp_path / "coder.safetensors")
    assert encoder_hash(Autoencoder.from_pretrained(tmp_path / "coder.safetensors")) == before
    next(coder.decoder.parameters()).data.add_(1)
    assert encoder_hash(coder) == before
    coder.latent_mean.add_(1)
    assert encoder_hash(coder) != before


def test_encode_pair_gives_each_stem_to_its_autoencoder() -> None:
    coders = [Autoencoder(PRESETS["tiny"].autoencoders[which]) for which in ("mix", "bass")]
    mix, bass = next(clip_audio([0]))
    mix_latent, bass_latent = encode_pair(*coders, mix, bass)
    assert mix_latent.shape == (16, 20) and bass_latent.shape == (8, 20)


def test_pairs_know_their_length() -> None:
    assert len(LatentPairs((Path("a"), Path("b")), 16)) == 2


# The command line, from a song to weights


def test_command_trains_on_songs(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def requests(data: str, *, count: int | None, variants: int, subsets: int, families: tuple[str, ...]):
        return [ClipRequest(song, seed, None, subset=True, effects=True) for seed in range(variants)]

    monkeypatch.setattr(latents, "training_requests", requests)
    command = ["train_diffusion", "--preset", "tiny", "--steps", "2", "--device", "cpu", "--run", str(tmp_path / "run")]
    command += ["--sample-every", "0"]
    for which in ("mix", "bass"):
        Autoencoder(PRESETS["tiny"].autoencoders[which]).save_pretrained(tmp_path / f"{which}.safetensors")
        command += [f"--{which}-autoencoder", str(tmp_path / f"{which}.safetensors")]
    monkeypatch.setattr("sys.argv", command)
    train_diffusion.main()
    assert UNet.from_pretrained(tmp_path / "run/unet.safetensors").config == PRESETS["tiny"].unet
    assert "validation_loss" in log(tmp_path / "run")[-1]

    monkeypatch.setattr("sys.argv", [*command[:1], "--preset", "small", *command[3:]])
    with pytest.raises(SystemExit) as stop:
        train_diffusion.main()
    assert stop.value.code == 2
    assert "(16, 8) dims, preset 'small' needs (64, 32)" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["train_diffusion", "train_autoencoder"])
def test_a_run_folder_that_cannot_be_made_is_refused_before_any_song_is_rendered(tmp_path: Path, module: str) -> None:
    (tmp_path / "file").write_text("")
    which = ["--which", "bass"] if module == "train_autoencoder" else []
    command = [sys.executable, "-m", f"reference_model.{module}", *which, "--run", str(tmp_path / "file" / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "cannot make the run folder" in done.stderr
    assert "Traceback" not in done.stderr and "rendering" not in done.stderr and "encoding" not in done.stderr
