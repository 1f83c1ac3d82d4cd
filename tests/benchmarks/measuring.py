"""One way of measuring for every benchmark.

Timed callables wait for the device before they return. A first call, which is not timed, warms up and counts floating
point operations; a second tells the peak of memory. Then rounds run until their time is up.
"""

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TOO_LONG = 5.0
"""Seconds of a call that is timed once only, and not made again to tell its memory."""


@dataclass(frozen=True)
class Machine:
    """Where the benchmarks run, and the GFLOP/s of a large matrix product there by dtype."""

    device: torch.device
    threads: int
    peak: dict[str, float]

    def wait(self) -> None:
        """Until everything that the device was given is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def name(self) -> str:
        """Of the device."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type


def matmul_peak(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a large matrix product by dtype, the best of several."""
    found, size = {}, 1536 if device.type == "cpu" else 8192
    for name, dtype in DTYPES.items():
        a = torch.randn(size, size, device=device).to(dtype)
        times = []
        for _ in range(8):
            start = time.perf_counter()
            a @ a
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        found[name] = 2 * size**3 / min(times) / 1e9
    return found


@dataclass(frozen=True)
class Measure:
    """`measure(work, group=..., case=..., ...)` times `work()` and keeps what it costs in `extra_info`."""

    benchmark: BenchmarkFixture
    machine: Machine
    budget: float
    """Seconds that the rounds of a case go on for; 0: one round, and no peak of memory."""

    def __call__(
        self,
        work: Callable[[], Any],
        *,
        group: str,
        case: str,
        system: str = "bassbench",
        audio: float | None = None,
        dtype: str = "float32",
        rounds: int | None = None,
        **kept: Any,
    ) -> Any:
        """What `work` returns.

        `system` is ours or a peer's name, `audio` the seconds of stereo audio that a call stands for, `dtype` what its
        matrix products compute in, `rounds` a fixed number of them for what is slow; other keywords are kept.
        """

        processor: list[float] = []

        def finished() -> Any:
            start = time.process_time()
            result = work()
            self.machine.wait()
            processor.append(time.process_time() - start)
            return result

        with FlopCounterMode(display=False) as counter:
            result, once = _timed(finished)
        memory = None
        if self.budget and once < _TOO_LONG:
            memory = memory_peak(finished, self.machine)
            once = _timed(finished)[1]
        self.benchmark.group = group
        fewest = 2 if self.budget and once < _TOO_LONG else 1
        count = rounds or int(np.clip(self.budget / max(once, 1e-6), fewest, 50))
        self.benchmark.pedantic(finished, rounds=count)
        seconds, flops, peak = self.benchmark.stats.stats.median, counter.get_total_flops(), self.machine.peak[dtype]
        info = {
            "case": case,
            "system": system,
            "device": self.machine.name,
            "threads": self.machine.threads,
            "dtype": dtype,
            "audio_seconds": audio,
            "real_time_factor": audio / seconds if audio else None,
            "gflop": flops / 1e9 or None,
            "gflops": flops / seconds / 1e9 or None,
            "peak_gflops": peak,
            "share_of_peak": flops / seconds / 1e9 / peak or None,
            "memory_mb": memory,
            "cpu_seconds": min(processor),
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            **kept,
        }
        self.benchmark.extra_info.update({key: value for key, value in info.items() if value is not None})
        return result


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def memory_peak(work: Callable[[], Any], machine: Machine) -> float | None:
    """Most memory that a call takes beyond what is held before it, in MB; None where it cannot be told."""
    gc.collect()
    if machine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(machine.device)
        before = torch.cuda.memory_allocated(machine.device)
        work()
        machine.wait()
        return (torch.cuda.max_memory_allocated(machine.device) - before) / 2**20
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        before = _status("VmRSS")
        work()
        return max(_status("VmHWM") - before, 0.0)
    work()
    return None


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024
