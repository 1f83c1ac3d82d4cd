"""Figures: written whole, without touching matplotlib's global settings, anchors labelled and apart."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from bassbench.errors import BadInputError
from bassbench.results.figure import _apart, curve_figure
from bassbench.results.rows import Measurement, Row, measured


def row(value: float, system: str = "model", protocol: dict | None = None, **setting: object) -> Row:
    about = Measurement(
        experiment="e", system=system, setting=setting, metric="FAD", clips=4, seed=0, protocol=protocol or {}
    )
    return measured(about, value, value * 0.9, value * 1.1, seconds=0.1)


CURVE = [row(80 / steps + 5, steps=steps) for steps in (1, 2, 4, 8)]
ANCHORS = [row(7.0, "real bass"), row(7.1, "codec"), row(90.0, "silence")]


def test_a_figure_is_drawn_and_the_settings_stay(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    curve_figure(tmp_path / "figure.png", CURVE, across="steps", anchors=ANCHORS, title="FAD")
    assert dict(matplotlib.rcParams) == before
    image = imread(tmp_path / "figure.png")
    assert image.shape[:2] == (800, 1400)
    assert np.ptp(image[..., :3]) > 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        curve_figure(tmp_path / name, CURVE, across="steps", anchors=ANCHORS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("rows", [CURVE[:1], [row(0.0, steps=1), row(-1.0, steps=2)], [row(float("nan"), steps=1)]])
def test_odd_values_are_drawn_too(tmp_path: Path, rows: list[Row]) -> None:
    curve_figure(tmp_path / "figure.svg", rows, across="steps", anchors=[row(3.0, "real bass")])
    assert "svg" in (tmp_path / "figure.svg").read_text()


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one metric"):
        curve_figure(tmp_path / "figure.png", [], across="steps")
    with pytest.raises(ValueError, match="positive number"):
        curve_figure(tmp_path / "figure.png", [row(1.0, steps=0)], across="steps")
    with pytest.raises(BadInputError, match="cannot be ranked"):
        curve_figure(tmp_path / "figure.png", [*CURVE, row(1.0, steps=16, protocol={"n": 1})], across="steps")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write"):
        curve_figure(tmp_path / "file" / "figure.png", CURVE, across="steps")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_labels_keep_their_distance_and_their_order() -> None:
    placed = _apart([0.1, 0.11, 0.12, 0.5, 0.9, 0.9], 0.05)
    assert np.diff(placed).min() >= 0.05 - 1e-9
    assert np.allclose(np.mean(placed[:3]), 0.11)
    assert placed[3] == 0.5


def test_a_share_is_drawn_from_0_to_1(tmp_path: Path) -> None:
    rows = [row(0.8, steps=1), row(0.9, steps=2)]
    curve_figure(tmp_path / "share.svg", rows, across="steps", anchors=[row(0.01, "noise")], share=True)
    text = (tmp_path / "share.svg").read_text()
    assert "<!-- 0.0 -->" in text and "<!-- 1.0 -->" in text
