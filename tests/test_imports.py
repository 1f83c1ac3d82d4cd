"""Who may import whom: experiments -> reference_model, contrastive -> bassbench; the sampler knows only a denoiser."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "bassbench": {"bassbench"},
    "reference_model": {"reference_model", "bassbench"},
    "contrastive": {"contrastive", "bassbench"},
    "experiments": {"experiments", "reference_model", "contrastive", "bassbench"},
}
FLOORS = (
    ("errors",),
    ("files",),
    ("cache", "audio", "plugins", "workers"),
    ("results", "songs"),
    ("hearing",),
    ("embedders",),
    ("metrics",),
    ("stems",),
    ("training",),
    ("suite",),
    ("report",),
    ("commands",),
    ("__main__",),
)
"""The rooms of bassbench, lowest first: each imports only itself and those on lower floors."""
ONE_IMPORTER = 22
"""How many modules may have a single importer: more is a sign of fragments that can only be read together."""


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours, at any depth, by its dotted name."""
    found = {}
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@functools.cache
def imports() -> dict[str, set[str]]:
    """For each module those of ours that it imports, wherever in it."""
    return {name: set(_imported(name, tree)) for name, tree in modules().items()}


def _imported(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        wanted = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name}: relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = [one if one in modules() else node.module for one in whole]
        for one in wanted:
            if one.split(".")[0] in ALLOWED:
                assert one in modules(), f"{name} imports {one}, which there is not"
                yield one


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_downwards(package: str) -> None:
    for name, wanted in imports().items():
        if name.split(".")[0] == package:
            wrong = {one for one in wanted if one.split(".")[0] not in ALLOWED[package]}
            assert not wrong, f"{name} imports {wrong}"


def test_rooms_import_only_downwards() -> None:
    floor = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    there = {name.split(".")[1] for name in modules() if name.startswith("bassbench.")}
    assert there == set(floor), "a room of bassbench without a floor, or a floor without a room"
    for name, wanted in imports().items():
        for one in wanted:
            if name.startswith("bassbench.") and one.startswith("bassbench."):
                room, other = name.split(".")[1], one.split(".")[1]
                assert room == other or floor[other] < floor[room], f"{name} imports {one}: {other} is not below {room}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_no_import_is_for_type_checking_only() -> None:
    """It would hide a circle. A package's door may name so what it imports when first asked for."""
    for name, tree in modules().items():
        if name in ALLOWED:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                hidden = set(_imported(name, ast.Module(node.body, [])))
                assert not hidden, f"{name} hides its import of {hidden}"


def test_few_modules_have_a_single_importer() -> None:
    importers: dict[str, set[str]] = {name: set() for name in modules()}
    for name, wanted in imports().items():
        for one in wanted:
            importers[one].add(name)
    single = sorted(f"{name} <- {next(iter(by))}" for name, by in importers.items() if len(by) == 1)
    assert len(single) <= ONE_IMPORTER, "\n".join(["which of these can only be read together?", *single])


@pytest.mark.parametrize("module", ["sampler", "guidance", "grounding"])
def test_sampling_knows_only_a_denoiser(module: str) -> None:
    assert imports()[f"reference_model.{module}"] <= {"reference_model.diffusion"}


def test_no_module_is_a_drawer() -> None:
    names = {name.rpartition(".")[2] for name in modules()}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_importing_prints_nothing_and_sets_nothing() -> None:
    wanted = sorted(name for name in modules() if not name.endswith("__main__"))
    code = (
        "import torch, numpy, importlib; before = torch.is_grad_enabled(), torch.get_default_dtype(), numpy.geterr()\n"
        f"for name in {wanted!r}: importlib.import_module(name)\n"
        "assert before == (torch.is_grad_enabled(), torch.get_default_dtype(), numpy.geterr())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
