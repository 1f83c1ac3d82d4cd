"""Rows: one key per measurement, nothing lost or doubled by a crash, provenance on every row."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

from bassbench.errors import BadInputError
from bassbench.results.rows import Measurement, Row, RowStore, code_commit, library_versions, measured

STEPS = Measurement(
    experiment="steps",
    system="model",
    setting={"steps": 64, "weights": "abc"},
    metric="FAD",
    clips=8,
    seed=0,
    protocol={"embedder": "musicnn", "window": 3.0},
)


def row(measurement: Measurement = STEPS, value: float = 7.25) -> Row:
    return measured(measurement, value, 6.5, 8.0, seconds=1.5)


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "made" / "rows.jsonl")
    assert store.rows() == []
    store.append(row())
    assert store.rows() == [row()]
    assert store.find(STEPS) == row()
    assert store.rows()[0].key == STEPS.key


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": "other"},
        {"system": "other"},
        {"setting": {"steps": 32, "weights": "abc"}},
        {"setting": {"steps": 64, "weights": "new"}},
        {"metric": "KAD"},
        {"clips": 9},
        {"seed": 1},
        {"protocol": {"embedder": "log-mel", "window": 3.0}},
    ],
)
def test_whatever_identifies_a_measurement_changes_its_key(change: dict) -> None:
    assert dataclasses.replace(STEPS, **change).key != STEPS.key


def test_the_order_of_settings_and_what_was_found_do_not_change_the_key() -> None:
    assert dataclasses.replace(STEPS, setting={"weights": "abc", "steps": 64}).key == STEPS.key
    assert row(value=1.0).key == row(value=2.0).key == STEPS.key
    assert dataclasses.replace(STEPS, setting={}).protocol_hash == STEPS.protocol_hash


def test_a_line_that_a_crash_cut_short_is_passed_over_and_repaired(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(row())
    whole = store.path.read_bytes()
    second = dataclasses.replace(STEPS, seed=1)
    for cut in (1, len(whole) // 2, len(whole) - 1):
        store.path.write_bytes(whole + whole[:cut])
        assert store.rows() == [row()]
        store.append(row(second))
        assert store.rows() == [row(), row(second)]
        assert store.path.read_bytes().startswith(whole)


def test_an_unfinished_line_longer_than_a_read_is_cut_off(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(row())
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + b"x" * 200_000)
    store.append(row(dataclasses.replace(STEPS, seed=1)))
    assert len(store.rows()) == 2
    store.path.write_bytes(b"x" * 200_000)
    store.append(row())
    assert store.path.read_bytes() == whole


def test_a_repeated_row_counts_once_and_the_first_stands(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(row(value=1.0))
    store.append(row(value=2.0))
    assert [r.value for r in store.rows()] == [1.0]


def test_undefined_numbers_survive_as_json(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(measured(STEPS, float("nan"), float("-inf"), 1.0, seconds=0))
    line = json.loads(store.path.read_text())
    assert line["value"] is None and line["low"] is None
    assert math.isnan(store.rows()[0].value)


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b"[1]\n", b"\xff\n"])
def test_a_foreign_line_is_named(tmp_path: Path, line: bytes) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(row())
    store.path.write_bytes(store.path.read_bytes() + line)
    with pytest.raises(BadInputError, match=r"rows\.jsonl, line 2"):
        store.rows()


def test_a_folder_that_cannot_hold_the_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="file"):
        RowStore(tmp_path / "file" / "rows.jsonl").append(row())
    with pytest.raises(BadInputError, match="cannot read"):
        RowStore(tmp_path).rows()


def test_a_full_disk_leaves_whole_rows() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(BadInputError, match="cannot write"):
        RowStore(Path("/dev/full")).append(row())


def test_csv_holds_every_field(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows.jsonl")
    store.append(row())
    store.write_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["value"]) == 7.25
    assert json.loads(line["setting"]) == STEPS.setting
    assert line["protocol_hash"] == STEPS.protocol_hash
    assert set(line) == {field.name for field in dataclasses.fields(Row)} | {"protocol_hash"}


def test_rows_say_where_they_come_from() -> None:
    assert code_commit()
    assert {"bassbench", "python", "numpy", "torch"} <= set(library_versions())
