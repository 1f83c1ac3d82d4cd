"""What every training run can be told, whatever it trains; what of it may change when a run is resumed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from bassbench.errors import BadInputError, check_limits
from bassbench.training.loop import make_accelerator


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings that all trainers share."""

    run: Path
    """Folder for log, checkpoint and weights."""
    data: str = "train"
    """Split of the song bank to train on, or a folder of stems."""
    validation_data: str = "validation"
    """The same, to validate on."""
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
        return make_accelerator(self.precision, self.device)


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
