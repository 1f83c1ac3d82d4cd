"""Who may import whom: experiments -> reference_model, contrastive -> bassbench; the sampler knows only a denoiser."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "bassbench": {"bassbench"},
    "reference_model": {"reference_model", "bassbench"},
    "contrastive": {"contrastive", "bassbench"},
    "experiments": {"experiments", "reference_model", "contrastive", "bassbench"},
}


def _ours(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.add(node.module or "")
    return {module for module in modules if module.split(".")[0] in ALLOWED}


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_downwards(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        wrong = {module for module in _ours(path) if module.split(".")[0] not in ALLOWED[package]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("module", ["sampler", "guidance", "grounding"])
def test_sampling_knows_only_a_denoiser(module: str) -> None:
    assert _ours(ROOT / "reference_model" / f"{module}.py") <= {"reference_model.diffusion"}


def test_no_module_is_a_drawer() -> None:
    names = {path.stem for package in ALLOWED for path in (ROOT / package).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_importing_prints_nothing_and_sets_nothing() -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ALLOWED
        for path in (ROOT / package).glob("*.py")
        if path.stem not in ("__main__", "__init__")
    )
    code = (
        "import torch, numpy, importlib; before = torch.is_grad_enabled(), torch.get_default_dtype(), numpy.geterr()\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "assert before == (torch.is_grad_enabled(), torch.get_default_dtype(), numpy.geterr())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
