"""The comparison of two versions' numbers sees what differs, and only that."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from same_numbers import differences

from bassbench.results.rows import Measurement, RowStore, measured

_WANTED = Measurement(
    experiment="study", system="reference", setting={"steps": 8}, metric="FAD", clips=4, seed=0, protocol={}
)


def _kept(folder: Path, *, value: float = 2.0, metric: str = "FAD", sample: float = 0.5) -> Path:
    row = measured(dataclasses.replace(_WANTED, metric=metric), value, 1.0, float("nan"), seconds=1.0)
    RowStore(folder / "study.jsonl").append(row)
    soundfile.write(folder / "bass.wav", np.full((100, 2), sample), 44_100, subtype="FLOAT")
    return folder


def test_equal_numbers_do_not_differ(tmp_path: Path) -> None:
    assert not list(differences(_kept(tmp_path / "a"), _kept(tmp_path / "b", value=2.0 + 1e-7)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"value": 2.00001}, "value: 2.0, 2.00001"), ({"metric": "KAD"}, "only in"), ({"sample": 0.50001}, "bass.wav")],
)
def test_what_differs_is_named(tmp_path: Path, changed: dict, said: str) -> None:
    lines = list(differences(_kept(tmp_path / "a"), _kept(tmp_path / "b", **changed)))
    assert lines and any(said in line for line in lines)
