"""The trainer: it learns, resumes to the same numbers, and refuses what it cannot run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from bassbench.errors import BadInputError
from contrastive.batch import Augmentation
from contrastive.config import MATCHERS
from contrastive.encoder import Matcher
from contrastive.songs import SongFeatures
from contrastive.train import MatcherTraining, TrainingConfig, resolved, train

UNREPEATED = ("time", "clips_per_second", "gflops")
"""Fields of a log that differ between two runs of the same numbers."""
FEATURES = MATCHERS["tiny"].sizes.features
SECONDS = 5.0


def _songs(count: int, seed: int) -> list[SongFeatures]:
    """Songs whose bass plays, in unison, what a part of the mix plays three octaves higher."""
    generator = np.random.default_rng(seed)
    songs = []
    for index in range(count):
        mix, bass = (np.zeros((FEATURES.bins, 420), dtype=np.uint8) for _ in range(2))
        start = 0
        while start < 420:
            length, pitch = int(generator.choice([4, 8, 12])), int(generator.integers(8, 22)) * 3
            bass[pitch - 1 : pitch + 2, start : start + length - 1] = 200
            mix[pitch + 107 : pitch + 110, start : start + length - 1] = 190
            start += length
        songs.append(SongFeatures(f"{seed}-{index}", mix, bass, -1, 120.0, np.arange(0.0, 12.0, 2.0)))
    return songs


CONFIG = TrainingConfig(preset="tiny", seconds=SECONDS, precision="no", device="cpu", validation_songs=6)
WITHOUT_DROPOUT = replace(MATCHERS["tiny"], sizes=replace(MATCHERS["tiny"].sizes, dropout=0.0))


def _log(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in UNREPEATED} for row in rows]


def test_it_learns_and_leaves_weights(tmp_path: Path) -> None:
    plain = Augmentation(equaliser=1.0, gain=1.0, floor=(-90.0, -60.0), leaks=0.0)
    config = replace(CONFIG, run=tmp_path / "run", steps=60, batch_size=8, learning_rate=1e-2, warmup=10)
    config = replace(config, validate_every=60, augmentation=plain)
    matcher = train(config, _songs(24, 0), _songs(8, 1))
    rows = _log(tmp_path / "run")
    losses = [row["loss"] for row in rows if "loss" in row]
    final = [row for row in rows if "r_at_1" in row][-1]
    assert np.mean(losses[-3:]) < 0.75 * losses[0]
    assert final["mrr"] > 0.6 and final["beats_semitone"] > 0.6
    back = Matcher.from_pretrained(tmp_path / "run" / "matcher.safetensors")
    for name, tensor in matcher.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor, rtol=1e-2, atol=1e-3)


def test_a_run_that_was_cut_off_gives_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs, validation = _songs(8, 0), _songs(6, 1)
    config = replace(CONFIG, steps=12, batch_size=4, warmup=2, log_every=2, validate_every=4, checkpoint_every=6)
    whole = train(replace(config, run=tmp_path / "whole"), songs, validation)

    calls = 0
    clip = Accelerator.clip_grad_norm_

    def killed(self: Accelerator, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return clip(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "clip_grad_norm_", killed)
        with pytest.raises(KeyboardInterrupt):
            train(replace(config, run=tmp_path / "cut"), songs, validation)
    resumed = train(replace(config, run=tmp_path / "cut"), songs, validation)
    assert _log(tmp_path / "cut") == _log(tmp_path / "whole")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name

    with pytest.raises(BadInputError, match="learning_rate was"):
        train(replace(config, run=tmp_path / "cut", learning_rate=1.0), songs, validation)


def test_a_batch_embedded_in_parts_gives_the_same_trace(tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        variant=WITHOUT_DROPOUT,
        steps=6,
        batch_size=8,
        warmup=2,
        learning_rate=1e-2,
        log_every=1,
        checkpoint_every=6,
    )
    for parts in (1, 4):
        train(replace(config, run=tmp_path / str(parts), accumulate=parts), _songs(8, 0), _songs(6, 1))
    whole, parts = _log(tmp_path / "1"), _log(tmp_path / "4")
    assert len(whole) == len(parts) == 7
    for one, other in zip(whole[:-1], parts[:-1], strict=True):
        assert one.keys() == other.keys()
        assert all(other[name] == pytest.approx(value, rel=1e-4, abs=1e-6) for name, value in one.items())


def test_the_throughput_is_in_the_log(tmp_path: Path) -> None:
    train(replace(CONFIG, run=tmp_path, steps=2, log_every=1, checkpoint_every=2), _songs(8, 0), _songs(3, 1))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(row["clips_per_second"] > 0 and row["gflops"] > 0 for row in rows if "loss" in row)


def test_a_diverging_run_stops_and_says_so(tmp_path: Path) -> None:
    config = resolved(replace(CONFIG, run=tmp_path, steps=4, batch_size=4))
    training = MatcherTraining(config, _songs(6, 0), _songs(3, 1), config.accelerator())
    training.matcher.log_scale.data.fill_(float("nan"))
    with pytest.raises(BadInputError, match="not finite any more at step 0"):
        training.fit()
    assert len(json.loads((tmp_path / "non_finite.json").read_text())["clips"]) == 4
    assert not training.run.checkpoint.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "--steps takes 1 to"),
        ({"seconds": 2.0}, "--seconds must be"),
        ({"validation_songs": 1}, "at least 2"),
        ({"log_every": 7}, "multiple of --log-every"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        resolved(replace(CONFIG, **changes))


def test_the_preset_says_how_many_songs_of_the_bank() -> None:
    small = TrainingConfig()
    assert resolved(small).songs == 1200 and resolved(replace(small, songs=7)).songs == 7
    assert resolved(replace(small, data="a folder")).songs is None


def test_songs_that_are_too_short_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="0 songs are longer than 60 s"):
        train(replace(CONFIG, run=tmp_path, seconds=60.0), _songs(3, 0), _songs(3, 1))
