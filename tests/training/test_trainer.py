"""The training loop: when it draws, reads, logs, measures and keeps, and what a gradient that is not finite stops."""

import json
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import RunFolder, State, load_tensors, save_tensors
from bassbench.training.loop import Measure, Training, ahead
from bassbench.training.settings import RunSettings


class Line(Training[float]):
    """Fits a line to one point a step; from `poisoned` on a point is not a number."""

    title = "line"

    def __init__(
        self, settings: RunSettings, *, poisoned: int = 10**9, measure: Measure = dict, steps: int = 12
    ) -> None:
        torch.manual_seed(0)
        self.line, self.poisoned, self.measure = torch.nn.Linear(1, 1), poisoned, measure
        self.kept: list[int] = []
        state = State({"line": self.line}, {"optimizer": torch.optim.Adam(self.line.parameters(), 0.1)})
        super().__init__(settings, settings.accelerator(), state, steps=12, batch_size=1, learning_rate=0.1)
        state.resume(self.run, {"seed": settings.seed})

    def draw(self, step: int) -> float:
        return float("nan") if step >= self.poisoned else step / 12

    def trial(self) -> None:
        self.line(torch.ones(1)).sum().backward()

    def learn(self, drawn: float) -> tuple[dict[str, Tensor], list[str]]:
        (optimizer,) = self.state.optimizers.values()
        optimizer.zero_grad()
        loss = (self.line(torch.tensor([drawn])) - 1).square().sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.line.parameters(), 10.0)
        optimizer.step()
        return {"loss": loss, "gradient_norm": norm}, [f"point {self.state.step}"]

    def row(self, steps: list[dict[str, float]]) -> dict[str, float]:
        return {"loss": steps[-1]["loss"], "steps": len(steps)}

    def measures(self) -> list[tuple[int, Measure]]:
        return [(self.settings.validate_every, self.measure)]

    def save(self) -> None:
        self.kept.append(self.state.step)
        self.state.save(self.run, {"seed": self.settings.seed})


def settings(run: Path, **changes: int) -> RunSettings:
    every = {"log_every": 4, "validate_every": 5, "checkpoint_every": 4, **changes}
    return RunSettings(run=run, device="cpu", precision="no", **every)  # type: ignore[arg-type]


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_rows_measures_and_checkpoints_come_when_they_are_due_and_after_the_last_step(tmp_path: Path) -> None:
    line = Line(settings(tmp_path, log_every=5, checkpoint_every=10), measure=lambda: {"slope": 1.0})
    line.fit()
    rows = log(tmp_path)
    assert [(row["step"], row["steps"]) for row in rows if "loss" in row] == [(5, 5), (10, 5), (12, 2)]
    assert [row["step"] for row in rows if "slope" in row] == [5, 10, 12] and line.kept == [10, 12]
    line.fit()
    assert log(tmp_path) == rows  # there is nothing left to do


def test_a_run_goes_on_from_its_checkpoint_to_the_same_numbers(tmp_path: Path) -> None:
    Line(settings(tmp_path / "whole")).fit()
    with pytest.raises(KeyboardInterrupt):
        Line(settings(tmp_path / "cut"), measure=_interrupted).fit()
    Line(settings(tmp_path / "cut")).fit()
    whole, cut = ([row["loss"] for row in log(tmp_path / name)] for name in ("whole", "cut"))
    assert whole == cut and len(cut) == 3
    with pytest.raises(BadInputError, match="seed was 0, is 1"):
        Line(settings(tmp_path / "cut", seed=1))


@pytest.mark.parametrize("lost", ["step", "a tensor"])
def test_a_checkpoint_without_all_of_a_run_is_one_line(tmp_path: Path, lost: str) -> None:
    Line(settings(tmp_path)).fit()
    path = RunFolder(tmp_path).checkpoint
    tensors, metadata = load_tensors(path)
    if lost == "step":
        del metadata["step"]
    else:
        del tensors[min(tensors)]
    save_tensors(path, tensors, metadata)
    with pytest.raises(BadInputError, match="does not hold all of a run"):
        Line(settings(tmp_path))


def _interrupted() -> dict[str, float]:
    raise KeyboardInterrupt


def test_steps_are_not_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers: list[int] = []
    tolist = Tensor.tolist

    def counted(tensor: Tensor) -> object:
        transfers.append(tensor.numel())
        return tolist(tensor)

    line = Line(settings(tmp_path, validate_every=12, checkpoint_every=12))
    monkeypatch.setattr(line, "save", lambda: None)
    monkeypatch.setattr(Tensor, "tolist", counted)
    line.fit()
    assert transfers == [8, 8, 8]  # two scalars of four steps each


@pytest.mark.parametrize("poisoned", [4, 5, 6, 7])
def test_what_is_kept_is_of_before_the_gradient_that_is_not_finite(tmp_path: Path, poisoned: int) -> None:
    line = Line(settings(tmp_path, validate_every=12), poisoned=poisoned)
    with pytest.raises(BadInputError, match=f"not finite any more at step {poisoned}"):
        line.fit()
    dump = json.loads((tmp_path / "non_finite.json").read_text())
    assert dump["step"] == poisoned and dump["clips"] == [f"point {poisoned}"]
    tensors, metadata = load_tensors(tmp_path / "checkpoint.safetensors")
    assert metadata["step"] == 4 and line.kept == [4]
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert [row["step"] for row in log(tmp_path)] == [4]


def test_nothing_is_measured_of_weights_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="at step 2"):
        Line(settings(tmp_path, validate_every=3), poisoned=2, measure=_interrupted).fit()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    """A gradient can be finite and the step too large, or the gradient of no network that is looked at."""
    run, critic = RunFolder(tmp_path), torch.nn.Linear(2, 1)
    state = State({"critic": critic}, {}, step=3)
    state.save(run, {})
    before = run.checkpoint.read_bytes()
    critic.weight.data[0, 1] = value
    with pytest.raises(BadInputError, match=r"critic\.weight is not finite any more at step 3"):
        state.save(run, {})
    assert run.checkpoint.read_bytes() == before


def test_a_run_of_before_there_was_the_choice_goes_on(tmp_path: Path) -> None:
    run, network = RunFolder(tmp_path), torch.nn.Linear(2, 1)
    now = {"steps": 9, "ema": 0.0, "recipe": {"rate": 1.0, "clip": 5.0}}
    since = {"ema": 0.0, "recipe": {"clip": 5.0}}
    tensors = {f"model.{name}": tensor + 1 for name, tensor in network.state_dict().items()}
    save_tensors(run.checkpoint, tensors, {"step": 7, "identity": {"steps": 9, "recipe": {"rate": 1.0}}})
    state = State({"model": network}, {})
    state.resume(run, now, since=since)
    assert state.step == 7 and torch.equal(network.weight, tensors["model.weight"])
    for other in ({**now, "ema": 0.9}, {**now, "recipe": {"rate": 1.0, "clip": 1.0}}):
        with pytest.raises(BadInputError, match="other settings"):
            state.resume(run, other, since=since)


def test_the_next_is_drawn_while_one_is_in_use() -> None:
    drawn: list[int] = []
    second = threading.Event()

    def draw(step: int) -> int:
        drawn.append(step)
        if step == 6:
            second.set()
        return step * step

    batches = ahead(draw, range(5, 8))
    assert next(batches) == 25
    assert second.wait(timeout=60) and drawn == [5, 6]
    assert list(batches) == [36, 49] and drawn == [5, 6, 7]
    assert list(ahead(draw, range(0))) == []


def test_an_error_in_drawing_comes_out_where_the_batch_is_used() -> None:
    def draw(step: int) -> int:
        if step == 1:
            raise ValueError("no such clip")
        return step

    batches = ahead(draw, range(3))
    assert next(batches) == 0
    with pytest.raises(ValueError, match="no such clip"):
        next(batches)
