"""What the training loops share: how a batch is divided, what a step costs, and how a run stops that cannot go on.

The randomness of a step is a function of (seed, step, example), never of who computes it: one process, several, or one
that adds up smaller batches see the same batch and give the same losses.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import RunFolder, step_generator
from bassbench.training.pretrained import has_fast_bfloat16

Drawn = TypeVar("Drawn")


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


def automatic_precision(precision: str, device_type: str) -> str:
    """For "auto": "bf16" where bfloat16 is fast, else "no", since emulated it is slower."""
    if precision != "auto":
        return precision
    return "bf16" if has_fast_bfloat16(device_type) else "no"


def make_accelerator(precision: str, device: str) -> Accelerator:
    """An accelerator for a device ("auto" or "cpu") and a precision ("auto", "bf16" or "no")."""
    on_cpu = device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return Accelerator(mixed_precision=automatic_precision(precision, "cpu" if on_cpu else "gpu"), cpu=on_cpu)


def stop_unless_finite(
    run: RunFolder, accelerator: Accelerator, *, step: int, loss: float, norm: float, clips: Sequence[str]
) -> None:
    """Go on if the gradient's norm is finite; else leave `non_finite.json` with the batch's clips and stop.

    The norm is the same on every process, since gradients are averaged.

    Raises:
        BadInputError: it is not finite.
    """
    if np.isfinite(norm):
        return
    everywhere = gather_object(list(clips)) if accelerator.num_processes > 1 else list(clips)
    dump = run.path / "non_finite.json"
    if accelerator.is_main_process:
        dump.write_text(json.dumps({"step": step, "loss": str(loss), "gradient_norm": str(norm), "clips": everywhere}))
    raise BadInputError(
        f"{run.path}: the loss is not finite any more at step {step} (loss {loss:g}, gradient norm {norm:g}); "
        f"its clips are in {dump}; lower --learning-rate and start in a new folder"
    )


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
        """The step is done."""
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


MEASURED = ("time", "clips_per_second", "gflops", "seconds_per_step")
"""Fields of a log that differ between two runs of the same numbers."""


def describe(config: Mapping[str, Any], networks: dict[str, nn.Module]) -> str:
    """What `--dry-run` prints: the resolved configuration and the number of parameters, as JSON."""
    values = json.loads(json.dumps(config, default=str))
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    return json.dumps({"config": values, "parameters": counts}, indent=1)
