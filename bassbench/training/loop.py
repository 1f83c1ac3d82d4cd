"""The training loop: what a step costs, when it is logged, measured and kept, and how a run stops that cannot go on.

The randomness of a step is a function of (seed, step, example), never of who computes it: one process, several, or one
that adds up smaller batches see the same batch and give the same losses.
"""

import abc
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import RunFolder, State, step_generator
from bassbench.training.settings import RunSettings

Drawn = TypeVar("Drawn")
Measure = Callable[[], Mapping[str, float]]


class Training(abc.ABC, Generic[Drawn]):
    """A training run. A subclass says what a step draws and learns; the loop around it stands here, once.

    No step waits for the device: `learn` hands over tensors. They are read when a row of the log is due, before
    anything is measured, and before a checkpoint is written, and that is when a gradient that is not finite stops the
    run. So a few steps may follow it, but nothing that is kept.
    """

    title: str
    """Of the progress bar."""

    def __init__(
        self,
        settings: RunSettings,
        accelerator: Accelerator,
        state: State,
        *,
        steps: int,
        batch_size: int,
        learning_rate: float,
    ) -> None:
        self.settings, self.accelerator, self.state = settings, accelerator, state
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        self.run = settings.folder(accelerator)
        self.micro = micro_batches(batch_size, accelerator, settings.accumulate)

    @abc.abstractmethod
    def draw(self, step: int) -> Drawn:
        """A step's examples, of this process; in a thread of its own, while the step before is learned from."""

    @abc.abstractmethod
    def trial(self) -> None:
        """One micro-batch forward and backward, to count its operations; the gradient is thrown away."""

    @abc.abstractmethod
    def learn(self, drawn: Drawn) -> tuple[dict[str, Tensor], list[str]]:
        """One step of the optimisers: scalars by name, "gradient_norm" among them, and the examples' names."""

    @abc.abstractmethod
    def row(self, steps: list[dict[str, float]]) -> dict[str, float]:
        """What the log is told of the steps since its last row, given the scalars of each."""

    @abc.abstractmethod
    def measures(self) -> list[tuple[int, Measure]]:
        """What is measured every so many steps and after the last one, and logged.

        The first process alone measures, but the list is the same on all of them.
        """

    @abc.abstractmethod
    def save(self) -> None:
        """Write the checkpoint, on the first process alone."""

    def rate(self) -> float:
        """Share of the learning rate that the next step has."""
        return 1.0

    def fit(self) -> None:
        """Train from where `state` is to the last step.

        Raises:
            BadInputError: a gradient is not finite any more; the run folder cannot be written.
        """
        state, settings, steps, main = self.state, self.settings, self.steps, self.accelerator.is_main_process
        if main:
            self.run.forget_after(state.step)
        if state.step < steps:
            throughput = Throughput(self.batch_size, self.trial, len(self.micro) * self.accelerator.num_processes)
            for optimizer in state.optimizers.values():
                optimizer.zero_grad()
        measures = self.measures()
        unread, seen = _Unread(self.run, self.accelerator), list[dict[str, float]]()
        batches = ahead(self.draw, range(state.step, steps))
        bar = tqdm(total=steps, initial=state.step, desc=self.title, disable=not main)
        while state.step < steps:
            throughput.start()
            rate = self.learning_rate * self.rate()
            for optimizer in state.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = rate
            unread.add(state.step, *self.learn(next(batches)))
            state.step += 1

            due = {every: state.step % every == 0 or state.step == steps for every, _ in measures}
            logged, kept = (
                state.step % every == 0 or state.step == steps
                for every in (settings.log_every, settings.checkpoint_every)
            )
            if logged or kept or any(due.values()):
                seen += unread.read()  # here the device has done all that it was told
            throughput.stop()
            bar.update()
            if main and logged:
                row = self.row(seen)
                self.run.log(step=state.step, **row, **throughput.row())
                bar.set_postfix(loss=f"{row['loss']:.3f}")
            if logged:
                seen.clear()
            for every, measure in measures if main else ():
                if due[every] and (measured := measure()):
                    self.run.log(step=state.step, **measured)
                    bar.write(f"step {state.step}: " + "  ".join(f"{k} {v:.4f}" for k, v in measured.items()))
            if main and kept:
                self.save()
        bar.close()
        self.accelerator.wait_for_everyone()


class _Unread:
    """Scalars of steps that still lie on the device, and whose they are."""

    def __init__(self, run: RunFolder, accelerator: Accelerator) -> None:
        self.run, self.accelerator = run, accelerator
        self.steps: list[tuple[int, dict[str, Tensor], list[str]]] = []

    def add(self, step: int, scalars: dict[str, Tensor], names: list[str]) -> None:
        """Keep what `Training.learn` gave."""
        self.steps.append((step, {name: scalar.detach().float() for name, scalar in scalars.items()}, names))

    def read(self) -> list[dict[str, float]]:
        """The scalars of every step since the last call, each the mean over the processes: one transfer for all.

        Raises:
            BadInputError: a gradient's norm is not finite. `non_finite.json` tells the step and the batch's clips.
        """
        steps, self.steps = self.steps, []
        if not steps:
            return []
        flat = torch.stack([scalar for _, scalars, _ in steps for scalar in scalars.values()])
        values = iter(self.accelerator.reduce(flat, "mean").tolist())
        rows = [{name: next(values) for name in scalars} for _, scalars, _ in steps]
        for (step, _, names), row in zip(steps, rows, strict=True):
            # The norm is the same on every process, since gradients are averaged: all of them stop.
            if not np.isfinite(row["gradient_norm"]):
                self._stop(step, row, names)
        return rows

    def _stop(self, step: int, row: Mapping[str, float], names: Sequence[str]) -> None:
        everywhere = gather_object(list(names)) if self.accelerator.num_processes > 1 else list(names)
        loss, norm, dump = row["loss"], row["gradient_norm"], self.run.path / "non_finite.json"
        if self.accelerator.is_main_process:
            told = {"step": step, "loss": str(loss), "gradient_norm": str(norm), "clips": everywhere}
            dump.write_text(json.dumps(told))
        raise BadInputError(
            f"{self.run.path}: the loss is not finite any more at step {step} (loss {loss:g}, gradient norm {norm:g}); "
            f"its clips are in {dump}; lower --learning-rate and start in a new folder"
        )


def example_generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The randomness of one example of a step's batch."""
    return step_generator(seed, step, 1 + index)


def micro_batches(batch_size: int, accelerator: Accelerator, accumulate: int = 1) -> list[range]:
    """Which examples of a batch this process computes: `accumulate` ranges, one after the other.

    Raises:
        BadInputError: the batch cannot be divided evenly.
    """
    processes, rank = accelerator.num_processes, accelerator.process_index
    size, rest = divmod(batch_size, processes * accumulate)
    if rest or not size:
        raise BadInputError(
            f"a batch of {batch_size} cannot be divided among {processes} processes x {accumulate} micro-batches; "
            f"choose a multiple of {processes * accumulate}"
        )
    first = rank * accumulate * size
    return [range(first + k * size, first + (k + 1) * size) for k in range(accumulate)]


Part = TypeVar("Part")


def added_up(parts: Sequence[Part], model: nn.Module, accelerator: Accelerator) -> Iterator[Part]:
    """Each part of a step; the gradients of all but the last stay in their process, and go out with the last one's."""
    for number, part in enumerate(parts):
        with contextlib.nullcontext() if number == len(parts) - 1 else accelerator.no_sync(model):
            yield part


def ahead(draw: Callable[[int], Drawn], steps: Iterable[int]) -> Iterator[Drawn]:
    """`draw(step)` for each step, each drawn in a thread while the one before is trained on."""
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Drawn] | None = None
        for step in steps:
            before, coming = coming, thread.submit(draw, step)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, *, step: int) -> None:
    """average <- d average + (1 - d) weights, d growing to `decay` over the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


class Throughput:
    """Clips per second and achieved GFLOP/s of the steps since the last row of the log, of all processes together.

    `micro_step` computes one micro-batch forward and backward, once and to no effect, to count its operations; `parts`
    of them make a step. Validation, figures and checkpoints lie between the steps and do not count.
    """

    def __init__(self, clips_per_step: int, micro_step: Callable[[], object], parts: int) -> None:
        with FlopCounterMode(display=False) as counter:
            micro_step()
        self.clips_per_step, self.flops_per_step = clips_per_step, counter.get_total_flops() * parts
        self._steps, self._seconds, self._started = 0, 0.0, time.perf_counter()

    def start(self) -> None:
        """A step begins."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """The step is done, or on its way."""
        self._steps += 1
        self._seconds += time.perf_counter() - self._started

    def row(self) -> dict[str, float]:
        """Both rates, and counting starts anew."""
        seconds = max(self._seconds, 1e-9)
        rates = {
            "clips_per_second": round(self._steps * self.clips_per_step / seconds, 3),
            "gflops": round(self._steps * self.flops_per_step / seconds / 1e9, 2),
        }
        self._steps, self._seconds = 0, 0.0
        return rates


def describe(settings: RunSettings, networks: dict[str, nn.Module], **more: Any) -> str:
    """What `--dry-run` prints: the resolved settings, and `more` of them, and the number of parameters, as JSON."""
    told = {**dataclasses.asdict(settings), **more}
    values = json.loads(json.dumps({name: told[name] for name in told if name != "variant"}, default=str))
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    return json.dumps({"config": values, "parameters": counts}, indent=1)
