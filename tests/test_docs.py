"""The pages that say how to add something: their own code runs, as it stands there."""

import configparser
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_suite import PLUGIN, arguments, installed, row

from bassbench.__main__ import main
from bassbench.clip_set import open_clip_set
from bassbench.embed import embed, find_embedder
from bassbench.metric_registry import clip_metrics
from bassbench.rows import RowStore

DOCS = Path(__file__).parent.parent / "docs"


def _package(page: str, folder: Path) -> Path:
    """Write a page's module and entry points to a folder, as an installed package would have them."""
    text = (DOCS / page).read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (entry,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    name = re.match(r'"""(\w+)\.py"""', code)
    assert name is not None
    (folder / f"{name[1]}.py").write_text(code)
    read = configparser.ConfigParser(delimiters="=")
    read.read_string(entry)
    about = folder / f"{name[1]}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name[1]}\nVersion: 1.0\n")
    lines = []
    for section in read.sections():
        group = re.fullmatch(r'project\.entry-points\."(.+)"', section)
        assert group is not None
        lines += [f"[{group[1]}]", *(f"{key} = {json_text.strip(chr(34))}" for key, json_text in read[section].items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_the_system_of_the_page_scores_as_a_file_and_as_a_plug_in(tmp_path: Path) -> None:
    package = _package("add-a-system.md", tmp_path)
    code = (package / "my_system.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    shared = ["hz=41.2", "--data", "tiny", "--clips", "7", "--metrics", "tiny level,FAD", "--embedder", "tiny"]
    with installed(PLUGIN, package):
        for spec, output in ((f"{package}/my_system.py:Drone", "file"), ("drone", "plugin")):
            main(["run", spec, *shared, "--output", str(tmp_path / output)])
    rows = [RowStore(tmp_path / output / "rows.jsonl").rows() for output in ("file", "plugin")]
    assert row(rows[0], "FAD", "drone").value == row(rows[1], "FAD", "drone").value


def test_the_metric_of_the_page_is_measured(tmp_path: Path) -> None:
    with installed(PLUGIN, _package("add-a-metric.md", tmp_path)):
        assert "crest factor" in clip_metrics()
        main(arguments(tmp_path / "out", metrics="crest factor"))
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert row(rows, "crest factor", "real bass").value == pytest.approx(0.7, abs=0.1)  # a square wave, on for 85 %
    assert np.isnan(row(rows, "crest factor", "silence").value)


def test_the_embedder_of_the_page_embeds(tmp_path: Path) -> None:
    with installed(_package("add-an-embedder.md", tmp_path)):
        assert find_embedder("bands").dim == 16
        audio = np.random.default_rng(0).standard_normal((2, 2 * 44_100)).astype(np.float32)
        assert embed(audio, 44_100, "bands").shape == (2, 16)


def test_the_dataset_of_the_page_is_scored(tmp_path: Path) -> None:
    with installed(PLUGIN, _package("add-a-dataset.md", tmp_path)):
        assert len(open_clip_set("tones").clips) == 12
        shared = ["--data", "tones", "--embedder", "tiny", "--metrics", "tiny level", "--clips", "2"]
        main(["run", "tiny-tone", *shared, "--output", str(tmp_path / "out")])
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert row(rows, "tiny level", "real bass").value == pytest.approx(-23.0, abs=0.1)


def test_pages_fit_on_a_page_and_name_commands_that_exist() -> None:
    for page in DOCS.glob("add-*.md"):
        text = page.read_text()
        assert len(text.splitlines()) <= 80, page
        for command in re.findall(r"bassbench (\w+) ", text):
            assert command in ("run", "score", "compare", "list", "bank", "data"), f"{page}: {command}"
