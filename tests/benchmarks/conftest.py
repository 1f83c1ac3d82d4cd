"""What every benchmark shares: the options of the command line as fixtures, and the machine's measured peak."""

import os
from collections.abc import Iterator

import pytest
import torch
from measuring import Machine, Measure, matmul_peak
from pytest_benchmark.fixture import BenchmarkFixture

from bassbench.training.pretrained import find_device, has_fast_bfloat16


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device asked for."""
    wanted = request.config.getoption("--device")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return find_device(wanted)


@pytest.fixture(scope="session")
def preset(request: pytest.FixtureRequest) -> str:
    """tiny, small or paper."""
    return request.config.getoption("--preset")


@pytest.fixture(scope="session")
def costly(request: pytest.FixtureRequest, device: torch.device) -> bool:
    """Whether cases that take long on a CPU are run: on request, and on a GPU."""
    return request.config.getoption("--costly") or device.type != "cpu"


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> int:
    """Threads of torch: as asked for, or all cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return request.config.getoption("--threads") or cores


@pytest.fixture(autouse=True)
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def machine(device: torch.device, threads: int) -> Machine:
    """The device, its threads and its peak."""
    torch.set_num_threads(threads)
    return Machine(device, threads, matmul_peak(device))


@pytest.fixture()
def measure(request: pytest.FixtureRequest, benchmark: BenchmarkFixture, machine: Machine) -> Measure:
    """How a benchmark is measured."""
    return Measure(benchmark, machine, request.config.getoption("--seconds-per-case"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Batch sizes and dtypes are parameters of the cases that name them."""
    option = metafunc.config.getoption
    on_cpu = option("--device") == "cpu" or not torch.cuda.is_available()
    if "batch" in metafunc.fixturenames:
        sizes = option("--batch-sizes") or ("1,8" if on_cpu else "1,8,64")
        metafunc.parametrize("batch", [int(size) for size in sizes.split(",")])
    if "dtype" in metafunc.fixturenames:
        fast = "float32,bfloat16" if has_fast_bfloat16("cpu" if on_cpu else "cuda") else "float32"
        metafunc.parametrize("dtype", (option("--dtypes") or fast).split(","))
