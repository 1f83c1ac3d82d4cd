"""One way of measuring for every benchmark.

Timed callables wait for the device before they return. A first call, which is not timed, warms up and counts floating
point operations. Then rounds run until their time is up, and the peak of memory over all of them is kept.
"""

import ctypes
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
"""Seconds of a call that is timed once only."""


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
    """Seconds that the rounds of a case go on for; 0: one round."""

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
        plainly: Callable[[], Any] | None = None,
        **kept: Any,
    ) -> Any:
        """What `work` returns.

        `system` is ours or a peer's name, `audio` the seconds of stereo audio that a call stands for, `dtype` what its
        matrix products compute in, `rounds` a fixed number of them for what is slow, `plainly` the same work for what
        counting operations would keep from being compiled; other keywords are kept.
        """

        processor: list[float] = []

        def finished() -> Any:
            start = time.process_time()
            result = work()
            self.machine.wait()
            processor.append(time.process_time() - start)
            return result

        with FlopCounterMode(display=False) as counter:
            result, once = _timed(plainly or finished)
        if plainly is not None:
            finished()  # compiles
        if once < _TOO_LONG and self.budget:
            once = _timed(finished)[1]
        self.benchmark.group = group
        fewest = 2 if self.budget and once < _TOO_LONG else 1
        count = rounds or int(np.clip(self.budget / max(once, 1e-6), fewest, 50))
        with PeakMemory(self.machine) as memory:
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
            "memory_mb": memory.megabytes,
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


class PeakMemory:
    """Most memory that is taken within a `with` beyond what is held before, in MB; None where it cannot be told."""

    megabytes: float | None = None

    def __init__(self, machine: Machine) -> None:
        self._machine, self._before = machine, 0.0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self._machine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._machine.device)
            self._before = torch.cuda.memory_allocated(self._machine.device) / 2**20
            return self
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what is free already would otherwise be taken again unseen
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
            self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if self._machine.device.type == "cuda":
            self.megabytes = torch.cuda.max_memory_allocated(self._machine.device) / 2**20 - self._before
        elif self._before:
            self.megabytes = max(_status("VmHWM") - self._before, 0.0)


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024
