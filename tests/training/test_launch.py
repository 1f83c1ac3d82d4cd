"""`torchrun` of the training command itself: two processes on the CPU give the losses of one.

On CPUs `accelerate launch --num_processes 2` starts one process unless there is MPI, so it would show nothing.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import stem_trees as trees

from bassbench.audio import SAMPLE_RATE
from bassbench.stems.layouts import open_dataset
from bassbench.stems.shards import write_shards
from reference_model.autoencoder import Autoencoder
from reference_model.presets import PRESETS


def losses(command: list[str], run: Path, cache: Path) -> list[float]:
    """Train by a command in a clean environment; the loss of every step."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE", "OMP"))}
    environment |= {"BASSBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--run", str(run)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_launched_on_two_processes_it_trains_as_on_one(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    data = str(tmp_path / "shards")
    tracks = open_dataset(trees.musdb(tmp_path / "musdb"))
    write_shards(tracks, Path(data), samples=3 * SAMPLE_RATE, per_shard=2, progress=False)
    training = ["reference_model.train_diffusion", "--preset", "tiny", "--steps", "3", "--frames", "16"]
    training += ["--data", data, "--validation-data", data, "--device", "cpu", "--precision", "no"]
    training += ["--sample-every", "0", "--log-every", "1"]
    for which in ("mix", "bass"):
        Autoencoder(PRESETS["tiny"].autoencoders[which]).save_pretrained(tmp_path / f"{which}.safetensors")
        training += [f"--{which}-autoencoder", str(tmp_path / f"{which}.safetensors")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    launch += ["--redirects", "3", "--log-dir", str(tmp_path / "ranks"), "-m", "--"]

    alone = losses([sys.executable, "-m", *training], tmp_path / "one", tmp_path / "cache one")
    together = losses([sys.executable, *launch, *training], tmp_path / "two", tmp_path / "cache two")
    assert sorted(path.parent.name for path in (tmp_path / "ranks").rglob("stdout.log")) == ["0", "1"]
    assert len(alone) == 3 and together == pytest.approx(alone, rel=1e-4, abs=1e-5)
