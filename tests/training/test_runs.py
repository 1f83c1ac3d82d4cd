"""Checkpoints appear whole, optimiser state survives a round trip, randomness needs no state."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bassbench.cache import content_hash
from bassbench.errors import BadInputError
from bassbench.files import atomic_path
from bassbench.training.checkpoint import (
    RunFolder,
    load_tensors,
    optimizer_tensors,
    refuse_other_settings,
    restore_optimizer,
    save_tensors,
    step_generator,
    warmed_cosine,
)


def test_tensors_and_metadata_round_trip(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "half": torch.ones(2, dtype=torch.float16), "step": torch.tensor(7)}
    save_tensors(tmp_path / "x.safetensors", tensors, {"config": {"dims": 32}})
    loaded, metadata = load_tensors(tmp_path / "x.safetensors")
    assert metadata == {"config": {"dims": 32}}
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_bad_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(BadInputError, match="no such checkpoint"):
        load_tensors(path)
    save_tensors(path, {"a": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInputError, match="not a readable safetensors file"):
        load_tensors(path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def _train(steps: int, optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight**2 - weight).sum().backward()
        optimizer.step()


def test_a_restored_optimizer_goes_on_as_if_unbroken() -> None:
    unbroken = torch.nn.Parameter(torch.linspace(-1, 2, 5))
    _train(10, torch.optim.AdamW([unbroken], 0.1), unbroken)

    weight = torch.nn.Parameter(torch.linspace(-1, 2, 5))
    first = torch.optim.AdamW([weight], 0.1)
    _train(4, first, weight)
    again = torch.nn.Parameter(weight.detach().clone())
    second = torch.optim.AdamW([again], 0.1)
    restore_optimizer(second, optimizer_tensors(first, "optim"), "optim")
    _train(6, second, again)
    assert torch.equal(unbroken, again)


def test_step_randomness_depends_on_seed_step_and_rank_alone() -> None:
    draws = {(s, t, r): step_generator(s, t, r).random() for s in range(3) for t in range(3) for r in range(3)}
    assert len(set(draws.values())) == 27
    assert step_generator(1, 2, 0).random() == draws[1, 2, 0]


def test_the_log_is_one_json_object_a_line(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.log(step=1, loss=0.5)
    run.log(step=2, loss=0.25)
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [0.5, 0.25] and all(line["time"] > 0 for line in lines)


def test_content_hash_separates_its_parts() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("ab") == content_hash(b"ab")


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [warmed_cosine(step, steps=100, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01) and max(rates) > 0.95 and rates[100] == pytest.approx(0)
    assert int(np.argmax(rates)) in (9, 10)


def test_forgotten_rows_are_those_after_the_step_and_those_cut_off(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log(event="start")
    for step in (1, 2, 3):
        run.log(step=step)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 1, "lo')
    run.forget_after(2)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row.get("step") for row in rows] == [None, 1, 2]


def test_other_settings_are_named(tmp_path: Path) -> None:
    refuse_other_settings(tmp_path, {"steps": 3, "old": 1}, {"steps": 3})
    with pytest.raises(BadInputError, match=r"seed was 1, is 2"):
        refuse_other_settings(tmp_path, {"seed": 1}, {"seed": 2})
