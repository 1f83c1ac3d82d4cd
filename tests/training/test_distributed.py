"""Two processes on the CPU give the losses of one: the batch is divided, the randomness is that of the examples."""

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from test_contrastive_train import CONFIG, WITHOUT_DROPOUT, _songs
from test_train_autoencoder import CLIPS
from test_train_autoencoder import settings as autoencoder_settings
from test_train_diffusion import Melodies
from test_train_diffusion import config as diffusion_config

from contrastive import train as train_matcher
from reference_model import train_autoencoder, train_diffusion

MATCHER = dataclasses.replace(CONFIG, variant=WITHOUT_DROPOUT)  # masks depend on who draws them


def diffusion(run: Path) -> None:
    config = diffusion_config(run, steps=8, batch_size=8, validate_every=8, checkpoint_every=4)
    train_diffusion.train(config, Melodies(), Melodies())


def autoencoder(run: Path) -> None:
    settings = autoencoder_settings(run, steps=8, batch_size=4, adversarial_start=3, precision="no")
    train_autoencoder.train(settings, CLIPS, CLIPS[:1])


def matcher(run: Path) -> None:
    config = dataclasses.replace(MATCHER, run=run, steps=8, batch_size=4, log_every=1, checkpoint_every=8)
    train_matcher.train(config, _songs(8, 0), _songs(3, 1))


def matcher_in_parts(run: Path) -> None:
    """Together the processes embed their shares of the batch in two parts, one process alone embeds it at once."""
    config = dataclasses.replace(MATCHER, run=run, steps=8, batch_size=4, log_every=1, checkpoint_every=8)
    config = dataclasses.replace(config, accumulate=2 if "WORLD_SIZE" in os.environ else 1)
    train_matcher.train(config, _songs(8, 0), _songs(3, 1))


def _one_of(rank: int, count: int, port: int, training: Callable[[Path], None], run: Path) -> None:
    """What a launcher sets up for each process."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    training(run)
    assert torch.distributed.get_world_size() == count and torch.distributed.get_backend() == "gloo"
    torch.distributed.destroy_process_group()


def trace(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss" in row]


@pytest.mark.parametrize("training", [diffusion, autoencoder, matcher, matcher_in_parts])
def test_two_processes_give_the_trace_of_one(training: Callable[[Path], None], tmp_path: Path) -> None:
    training(tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_one_of, (2, port, training, tmp_path / "two"), nprocs=2)
    alone, together = trace(tmp_path / "one"), trace(tmp_path / "two")
    assert len(alone) == len(together) == 8
    for one, two in zip(alone, together, strict=True):
        for name in one.keys() - {"time", "clips_per_second", "gflops"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-5), (one["step"], name)
