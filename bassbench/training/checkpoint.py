"""A training run's folder: a JSONL log, checkpoints that appear whole, and randomness that needs no saved state."""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bassbench.errors import BadInputError
from bassbench.files import atomic_path, parse_json


def step_generator(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The randomness of one training step: a function of (seed, step, rank), so that resuming needs no state."""
    return np.random.default_rng([seed, step, rank])


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> None:
    """Write a safetensors file with `metadata` as JSON in its header, whole or not at all.

    Raises:
        BadInputError: the file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(contiguous, temporary, {"bassbench": json.dumps(metadata, sort_keys=True)})
    except (OSError, SafetensorError) as error:
        raise BadInputError(f"{path}: cannot write ({error})") from None


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the metadata of a file written by `save_tensors`.

    Raises:
        BadInputError: the file is missing, truncated, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path}: not a readable safetensors file ({error}); fetch or train it again") from None
    if "bassbench" not in header:
        raise BadInputError(f"{path}: a safetensors file, but not a bassbench checkpoint (no config in its header)")
    return tensors, metadata_of(path, header)


def metadata_of(path: str | Path, header: Mapping[str, str]) -> dict[str, Any]:
    """What `save_tensors` put in a safetensors header; empty if it is of another origin.

    Raises:
        BadInputError: it is not a mapping in JSON.
    """
    try:
        metadata = parse_json(header.get("bassbench", "{}"))
    except ValueError as error:
        raise BadInputError(f"{path}: the header is not JSON ({error}); fetch or train it again") from None
    if not isinstance(metadata, dict):
        raise BadInputError(f"{path}: the header holds a {type(metadata).__name__}, expected a mapping; get it anew")
    return metadata


@dataclasses.dataclass
class State:
    """All that lives during training and is saved in a checkpoint, by the names that it has there."""

    networks: dict[str, torch.nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0

    def save(self, run: "RunFolder", config: dict[str, Any]) -> None:
        """Write the run's checkpoint, with the settings that a resumed run must share.

        Raises:
            BadInputError: a weight is not finite, or the file cannot be written; the checkpoint before is kept.
        """
        tensors = {
            f"{name}.{key}": tensor
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
        if not all(finite):
            name = [*tensors][finite.index(False)]
            raise BadInputError(
                f"{run.path}: {name} is not finite any more at step {self.step}; the checkpoint before is kept; lower "
                "--learning-rate and start in a new folder"
            )
        for name, optimizer in self.optimizers.items():
            tensors |= optimizer_tensors(optimizer, name)
        save_tensors(run.checkpoint, tensors, {"step": self.step, "config": config})

    def resume(self, run: "RunFolder", config: dict[str, Any], *, since: Mapping[str, Any] | None = None) -> None:
        """Go on from the run's checkpoint if there is one.

        `since` holds what a run had that was begun before there was the choice, also within settings that are mappings.

        Raises:
            BadInputError: it was made with other settings, or cannot be read.
        """
        if not run.checkpoint.exists():
            return
        tensors, metadata = load_tensors(run.checkpoint)
        before = metadata.get("config", metadata.get("identity", {}))  # the autoencoders' once had the other name
        for name, value in (since or {}).items():
            before[name] = {**value, **before.get(name, {})} if isinstance(value, dict) else before.get(name, value)
        refuse_other_settings(run.path, before, config)
        try:
            for name, network in self.networks.items():
                prefix = f"{name}."
                network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            for name, optimizer in self.optimizers.items():
                restore_optimizer(optimizer, tensors, name)
            self.step = int(metadata["step"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            raise BadInputError(
                f"{run.checkpoint}: does not hold all of a run of this kind ({why}); move it away to begin anew"
            ) from None


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimiser's per-parameter state as flat named tensors, for `save_tensors`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    """Put back what `optimizer_tensors` took out; hyper-parameters stay those of `optimizer`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, field = name[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape:  # the fused step needs the parameter's memory layout
                moments[name] = torch.empty_like(parameter).copy_(moment)


def warmed_cosine(step: int, *, steps: int, warmup: int) -> float:
    """Share of the learning rate at a step: a linear warm-up, then a cosine to zero at the last step."""
    return min(1.0, (step + 1) / max(warmup, 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def settings_of(config: Any, *, free: Collection[str]) -> dict[str, Any]:
    """A run's dataclass of settings as plain JSON values, without those that are `free` to change on resuming."""
    values = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return {name: value for name, value in values.items() if name not in free}


def refuse_other_settings(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise BadInputError, naming what differs, if a run was started with other settings than it is resumed with."""
    changed = [f"{name} was {before.get(name)}, is {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise BadInputError(f"{folder}: holds a run of other settings ({'; '.join(changed)}); use a new folder")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run: `log.jsonl`, `checkpoint.safetensors` and what the trainer adds."""

    path: Path
    tensorboard: bool = False
    """Also write every number of the log as a TensorBoard event."""

    def __post_init__(self) -> None:
        if self.tensorboard:
            _event_writer(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInputError(f"{self.path}: cannot make the run folder ({error})") from None

    @property
    def checkpoint(self) -> Path:
        """Where the resumable state of the run is kept."""
        return self.path / "checkpoint.safetensors"

    def log(self, **row: Any) -> None:
        """Append one line to the log, with the time of day in seconds."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps({"time": round(time.time(), 3), **row}) + "\n")
        if self.tensorboard and "step" in row:
            writer = _event_writer(self.path)
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    writer.add_scalar(name, value, row["step"])
            writer.flush()

    def forget_after(self, step: int) -> None:
        """Drop rows logged after the checkpoint of `step`: those steps will run again."""
        log = self.path / "log.jsonl"
        if not log.exists():
            return
        kept = []
        for line in log.read_text().splitlines(keepends=True):
            try:
                if parse_json(line).get("step", 0) <= step:
                    kept.append(line)
            except ValueError:  # cut off in the middle by a kill
                continue
        with atomic_path(log) as temporary:
            temporary.write_text("".join(kept))


@functools.lru_cache(maxsize=4)
def _event_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise BadInputError("--tensorboard needs TensorBoard: pip install 'bassbench[tensorboard]'") from None
    return SummaryWriter(str(folder / "tensorboard"))
