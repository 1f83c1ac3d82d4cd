"""Comparing runs: paired by song, refused where they were not measured alike."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_suite import PLUGIN, installed, run

from bassbench.__main__ import main
from bassbench.commands.compare import compared
from bassbench.metrics.statistics import holm, paired_difference


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with installed(PLUGIN):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    metrics = "FAD,prompt adherence,tiny level"
    run(folder / "low", metrics=metrics)
    run(folder / "high", "hz=880", metrics=metrics)
    run(folder / "more", clips=8, metrics=metrics)
    run(folder / "seed", "--seed", "2", metrics=metrics)
    return {name: folder / name for name in ("low", "high", "more", "seed")}


def test_permutation_p_is_that_of_all_sign_flips() -> None:
    first, second = np.array([1.0, 2, 4, 3, 6, 5]), np.array([0.5, 2.5, 1, 1, 2, 4])
    differences = first - second
    flips = [abs(np.mean(differences * signs)) for signs in itertools.product([-1, 1], repeat=6)]
    exact = np.mean([value >= abs(differences.mean()) - 1e-12 for value in flips])
    result = paired_difference(first, second, generator=np.random.default_rng(0))
    assert result.p == pytest.approx(exact, abs=0.01)
    assert result.value == pytest.approx(differences.mean())
    assert result.low < result.value < result.high


def test_equal_scores_are_not_different() -> None:
    scores = np.arange(5.0)
    result = paired_difference(scores, scores, generator=np.random.default_rng(0))
    assert (result.value, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_one_song_has_no_test() -> None:
    result = paired_difference([1.0], [0.0], generator=np.random.default_rng(0))
    assert result.value == 1 and np.isnan([result.low, result.high, result.p]).all()


def test_false_alarms_are_as_rare_as_promised() -> None:
    generator = np.random.default_rng(0)
    draws = [paired_difference(*generator.standard_normal((2, 8)), generator=generator).p for _ in range(60)]
    assert np.mean(np.array(draws) < 0.05) < 0.12


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([np.nan, 0.5, 0.9])[1:] == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([np.nan, 0.5])[0])


def test_a_run_compared_with_itself_differs_in_nothing(runs: dict[str, Path]) -> None:
    frame, _ = compared((runs["low"], runs["low"]), None, 0)
    by_metric = frame.set_index("metric")["difference"]
    assert by_metric["FAD"].startswith("0.00 [0.00, 0.00]")
    assert by_metric["tiny level"].startswith("0.00 [0.00, 0.00]")
    assert by_metric["prompt adherence"] == "no paired test"


def test_fad_and_real_directed_metrics_are_paired(runs: dict[str, Path]) -> None:
    frame, note = compared((runs["low"], runs["high"]), None, 0)
    line = frame.set_index("metric").loc["FAD"]
    assert float(line["difference"].split()[0]) == pytest.approx(float(line.iloc[2]) - float(line.iloc[3]), abs=0.02)
    level = frame.set_index("metric").loc["tiny level"]
    assert (level["unit"], level["better"]) == ("dB", "as real") and float(
        level.iloc[2]
    ) > 0  # dB away from the real bass's level
    assert "7 clips in common" in note


def test_runs_on_other_clips_are_compared_on_those_in_common(runs: dict[str, Path]) -> None:
    frame, note = compared((runs["low"], runs["more"]), ["tiny level"], 0)
    assert "7 clips in common" in note
    assert frame["difference"][0].startswith("0.00 [0.00, 0.00]")


def test_another_protocol_is_refused_and_the_field_named(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(runs["low"]), str(runs["more"])])
    assert "reference real bass of 7 clips" in capsys.readouterr().err


def test_the_table_is_printed_and_written(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", str(runs["low"]), str(runs["high"]), "--output", str(tmp_path / "table.md")])
    assert "prompt adherence" in capsys.readouterr().out
    assert "| tiny level" in (tmp_path / "table.md").read_text()
