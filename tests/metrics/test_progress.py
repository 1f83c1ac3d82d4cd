"""Bars say what is being waited for: a study's clips and its intervals each have one, and libraries have none."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bassbench.metrics import progress
from bassbench.metrics.progress import phase
from bassbench.metrics.statistics import Interval, shifted_interval
from bassbench.results.rows import RowStore
from experiments import studies


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)


def _interval() -> tuple[float, float, float]:
    return shifted_interval(0.0, lambda: 0.0, 3, possible=True)


def test_a_loop_shows_a_bar_only_in_a_phase(capsys: pytest.CaptureFixture[str]) -> None:
    _interval()
    assert capsys.readouterr().err == ""
    with phase("interval of FAD"):
        _interval()
    assert "interval of FAD:   0%" in (said := capsys.readouterr().err) and "0/3" in said
    _interval()
    assert capsys.readouterr().err == ""


def test_a_study_names_its_task_and_counts_replicates_apart_from_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(advance: studies.Advance) -> Sequence[Interval]:
        for _ in range(5):
            advance()
        return [Interval(*_interval())]

    tasks = [studies.Measurements("steps", 5, 0, {}).task(name, {"cfg": 1}, ("FAD",), measure) for name in ("a", "b")]
    studies.measure_missing(tasks, RowStore(tmp_path / "steps.jsonl"), device="cpu", what="steps")
    said = capsys.readouterr().err
    for name in ("steps 1/2: a cfg 1:   0%", "steps 2/2: b cfg 1, interval:   0%"):
        assert name in said
    assert "0/5" in said and "0/3" in said
