"""What every training run can be told, whatever it trains; what of it may change when a run is resumed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from bassbench.errors import BadInputError, check_limits
from bassbench.results.ownership import alone_in
from bassbench.training.checkpoint import RunFolder
from bassbench.training.pretrained import has_fast_bfloat16


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings that all trainers share; what is None is the preset's."""

    run: Path
    """Folder for log, checkpoint and weights."""
    data: str = "train"
    """Split of the song bank to train on, or a folder of stems."""
    validation_data: str = "validation"
    """The same, to validate on."""
    steps: int | None = None
    batch_size: int | None = None
    """Of all processes together."""
    learning_rate: float | None = None
    accumulate: int = 1
    """Micro-batches that are added up to a step, to fit memory."""
    seed: int = 0
    precision: Literal["auto", "bf16", "no"] = "auto"
    """auto: bfloat16 where it is fast, float32 elsewhere."""
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = None
    """Threads of a process (default: PyTorch's choice)."""
    processes: int = 1
    """Rendering processes, for songs that are not in the cache yet."""
    log_every: int = 10
    validate_every: int = 250
    checkpoint_every: int = 250
    tensorboard: bool = False
    dry_run: bool = False
    """Print what would be trained, and stop."""

    def accelerator(self) -> Accelerator:
        """An accelerator of this precision on this device; the process gets its number of threads."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        on_cpu = self.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
        precision = "bf16" if self.reduced("cpu" if on_cpu else "gpu") else "no"
        return Accelerator(mixed_precision=precision, cpu=on_cpu)

    def reduced(self, device_type: str) -> bool:
        """Whether this precision is bfloat16 on a type of device: "auto" is where it is fast; emulated it is slower."""
        return has_fast_bfloat16(device_type) if self.precision == "auto" else self.precision == "bf16"

    def folder(self, accelerator: Accelerator) -> RunFolder:
        """Where the run is kept; TensorBoard events are the first process's."""
        return RunFolder(self.run, self.tensorboard and accelerator.is_main_process)

    @contextlib.contextmanager
    def held(self) -> Iterator[Accelerator]:
        """The accelerator of a run whose folder no other run may write to meanwhile.

        Raises:
            BadInputError: the folder cannot be made, or another run is at it: now, not after the songs are rendered.
        """
        RunFolder(self.run)
        accelerator = self.accelerator()
        with alone_in(self.run) if accelerator.is_main_process else contextlib.nullcontext():
            self.folder(accelerator)
            yield accelerator


FREE_TO_CHANGE = (
    *("run", "device", "threads", "processes", "precision", "accumulate", "tensorboard", "dry_run"),
    *("log_every", "validate_every", "checkpoint_every"),
)
"""Settings that do not change what is learned, by name."""


def refuse_impossible(settings: RunSettings) -> None:
    """Raise BadInputError for settings that no run can have."""
    check_limits(settings, steps="training_steps")
    if settings.checkpoint_every % settings.log_every:
        raise BadInputError("--checkpoint-every must be a multiple of --log-every, so that a resumed log is whole")
