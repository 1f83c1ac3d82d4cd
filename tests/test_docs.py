"""The pages that say how to add something: their own code runs, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_suite import PLUGIN, arguments, installed, row

from bassbench.__main__ import main
from bassbench.embedders.registry import embed, find_embedder
from bassbench.metrics.registry import clip_metrics
from bassbench.results.rows import RowStore
from bassbench.suite.clip_set import open_clip_set

DOCS = Path(__file__).parent.parent / "docs"


PAGES = ("add-a-system.md", "add-a-metric.md", "add-an-embedder.md", "add-a-dataset.md")
_TABLE = r'\[project\.entry-points\."[\w.]+"\]\n(?:.+\n)+'
_MODULE = r'py-modules = \["(\w+)"\]'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the files of all pages after `pip install -e .`, and where pip put what it installs."""
    folder, prefix = tmp_path_factory.mktemp("newcomer"), tmp_path_factory.mktemp("prefix")
    projects = []
    for page in PAGES:
        text = (DOCS / page).read_text()
        (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
        (project,) = re.findall(r"```toml\n(.*?)```", text, re.S)
        name = re.match(r'"""(\w+)\.py"""', code)
        assert name is not None and re.findall(_MODULE, project) == [name[1]]
        (folder / f"{name[1]}.py").write_text(code)
        projects.append(project)
    # "One pyproject.toml serves several plug-ins": the pages' own differ in nothing but modules and tables.
    assert len({re.sub(_MODULE, "", re.sub(_TABLE, "", project)) for project in projects}) == 1
    modules = ", ".join(f'"{name}"' for project in projects for name in re.findall(_MODULE, project))
    tables = [table for project in projects for table in re.findall(_TABLE, project)]
    whole = re.sub(_MODULE, f"py-modules = [{modules}]", re.sub(_TABLE, "", projects[0])) + "\n".join(tables)
    (folder / "pyproject.toml").write_text(whole)
    # What builds it is at hand and no network is needed.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--prefix", str(prefix), "-e", "."], cwd=folder, check=True, capture_output=True, text=True)
    (site,) = prefix.glob("lib/python*/site-packages")
    return folder, site


def test_a_folder_with_all_pages_files_installs_and_is_listed(package: tuple[Path, Path], tmp_path: Path) -> None:
    code = f"import site; site.addsitedir({str(package[1])!r}); from bassbench.__main__ import main; main(['list'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    for line in ("drone", "crest factor", "bands", "tones"):
        assert re.search(rf"^{line}  ", done.stdout, re.M), done.stdout
    assert "BROKEN" not in done.stdout and "warning" not in done.stderr


def test_the_system_of_the_page_scores_as_a_file_and_as_a_plug_in(package: tuple[Path, Path], tmp_path: Path) -> None:
    code = (package[0] / "my_system.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    shared = ["hz=41.2", "--data", "tiny", "--clips", "7", "--metrics", "tiny level,FAD", "--embedder", "tiny"]
    with installed(PLUGIN, *package):
        for spec, output in ((f"{package[0]}/my_system.py:Drone", "file"), ("drone", "plugin")):
            main(["run", spec, *shared, "--output", str(tmp_path / output)])
    rows = [RowStore(tmp_path / output / "rows.jsonl").rows() for output in ("file", "plugin")]
    assert row(rows[0], "FAD", "drone").value == row(rows[1], "FAD", "drone").value


def test_the_metric_of_the_page_is_measured(package: tuple[Path, Path], tmp_path: Path) -> None:
    with installed(PLUGIN, *package):
        assert "crest factor" in clip_metrics()
        main(arguments(tmp_path / "out", metrics="crest factor"))
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert row(rows, "crest factor", "real bass").value == pytest.approx(0.7, abs=0.1)  # a square wave, on for 85 %
    assert np.isnan(row(rows, "crest factor", "silence").value)


def test_the_embedder_of_the_page_embeds(package: tuple[Path, Path]) -> None:
    with installed(*package):
        assert find_embedder("bands").dim == 16
        audio = np.random.default_rng(0).standard_normal((2, 2 * 44_100)).astype(np.float32)
        assert embed(audio, 44_100, "bands").shape == (2, 16)


def test_the_dataset_of_the_page_is_scored(package: tuple[Path, Path], tmp_path: Path) -> None:
    with installed(PLUGIN, *package):
        assert len(open_clip_set("tones").clips) == 12
        shared = ["--data", "tones", "--embedder", "tiny", "--metrics", "tiny level,match,match drop (mix muted)"]
        main(["run", "tiny-tone", *shared, "--clips", "2", "--output", str(tmp_path / "out")])
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert row(rows, "tiny level", "real bass").value == pytest.approx(-23.0, abs=0.1)
    assert np.isfinite(row(rows, "match", "real bass").value)  # its clips are long enough for every metric


def test_pages_fit_on_a_page_and_name_commands_that_exist() -> None:
    for page in DOCS.glob("add-*.md"):
        text = page.read_text()
        assert len(text.splitlines()) <= 80, page
        for command in re.findall(r"bassbench (\w+) ", text):
            assert command in ("run", "score", "compare", "list", "bank", "data"), f"{page}: {command}"
