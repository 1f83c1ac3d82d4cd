"""Tables: order and cells as the rows say, and no ranking of numbers that were measured differently."""

import pytest

from bassbench.errors import BadInputError
from bassbench.results.rows import Measurement, Row, measured
from bassbench.results.table import interval_text, markdown, table, terminal


def row(system: str, value: float, metric: str = "FAD", protocol: dict | None = None, **setting: object) -> Row:
    about = Measurement(
        experiment="e", system=system, setting=setting, metric=metric, clips=4, seed=0, protocol=protocol or {"n": 1}
    )
    return measured(about, value, value - 1, value + 1, seconds=0.1)


ROWS = [row("real", 7.0), row("model", 12.345, steps=64), row("model", 0.5, metric="share", steps=64)]


def test_one_line_per_system_and_setting_one_column_per_metric() -> None:
    frame = table(ROWS, ["steps"])
    assert list(frame.columns) == ["system", "steps", "FAD", "share", "clips"]
    assert frame.to_numpy().tolist() == [
        ["real", "", "7.00 [6.00, 8.00]", "", "4"],
        ["model", "64", "12.3 [11.3, 13.3]", "0.50 [-0.50, 1.50]", "4"],
    ]


def test_different_protocols_are_never_ranked_together() -> None:
    rows = [
        row("a", 1, protocol={"embedder": "musicnn", "n": 1}),
        row("b", 2, protocol={"embedder": "log-mel", "n": 1}),
    ]
    with pytest.raises(BadInputError, match="embedder musicnn against log-mel") as caught:
        table(rows)
    assert "n 1" not in str(caught.value)
    table([row("a", 1, protocol={"n": 1}), row("a", 1, metric="other", protocol={"n": 2})])


def test_two_rows_in_one_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows for FAD of model"):
        table([row("model", 1, steps=1), row("model", 2, steps=2)])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.8664, 0.84, 0.89), "0.866 [0.840, 0.890]"),
        ((12.34, 11, 14), "12.3 [11.0, 14.0]"),
        ((123.4, 120, 130), "123 [120, 130]"),
        ((0.0, 0.0, 0.0), "0.00 [0.00, 0.00]"),
        ((float("nan"), 0, 1), "undefined"),
        ((2.5, float("nan"), float("nan")), "2.50"),
        ((0.01234, 0.01, 0.02), "0.0123 [0.0100, 0.0200]"),
        ((0.00104, -0.0234, 0.0244), "0.0010 [-0.0234, 0.0244]"),
        ((-2e-9, -1e-8, 1e-8), "0.00 [0.00, 0.00]"),
    ],
)
def test_intervals_read_well(numbers: tuple[float, float, float], text: str) -> None:
    assert interval_text(*numbers) == text


def test_text_is_aligned() -> None:
    lines = terminal(table(ROWS, ["steps"])).splitlines()
    assert len(lines) == 3
    assert {line.rindex("]") for line in lines[2:]} | {lines[0].index("share") + 4} == {lines[2].rindex("]")}
    rows = markdown(table([*ROWS, row("a|b", 1)], ["steps"])).splitlines()
    assert rows[1].startswith("| ---") and rows[1].endswith("-: |")
    assert "a\\|b" in rows[-1]
