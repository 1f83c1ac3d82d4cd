"""Running every study: the page of claims from made rows, and that each study is run with the shared options."""

from pathlib import Path

import pytest

from bassbench.bad_input import BadInputError
from bassbench.rows import Measurement, Row, RowStore, measured
from experiments import all as every
from experiments.all import STUDIES, All, configured, write_page
from experiments.claims import NOT, NOT_MEASURED, PARTLY, REPRODUCED, closer_to_the_style, diagonal, fewest_steps


def row(metric: str, value: float, low: float, high: float, system: str = "reference model", **setting: object) -> Row:
    wanted = Measurement(experiment="x", system=system, setting=setting, metric=metric, clips=25, seed=0, protocol={})
    return measured(wanted, value, low, high, seconds=1.0)


def test_the_claim_of_64_steps() -> None:
    at_32, at_64 = row("FAD", 5.0, 4.5, 5.5, steps=32), row("FAD", 4.0, 3.5, 4.5, steps=64)
    assert fewest_steps([at_32, at_64]).word == REPRODUCED
    assert fewest_steps([at_64, row("FAD", 3.8, 3.0, 4.0, steps=128)]).word == PARTLY
    assert fewest_steps([at_64, row("FAD", 2.0, 1.0, 3.0, steps=128)]).word == NOT
    assert fewest_steps([at_32]).word == NOT_MEASURED


def test_the_claim_of_the_diagonal() -> None:
    assert diagonal([row("diagonal share", 0.8, 0.7, 0.9)]).word == REPRODUCED
    assert diagonal([row("diagonal share", 0.2, 0.1, 0.3)]).word == PARTLY
    assert diagonal([row("diagonal share", 0.05, 0.03, 0.08)]).word == NOT
    assert diagonal([row("diagonal share", 0.9, 0.8, 1.0, system="real bass")]).word == NOT_MEASURED


def test_the_claim_of_grounding() -> None:
    euclidean = row("Euclidean ratio", 0.4, 0.3, 0.5, strength=1.0, exponent=2.0)
    assert (
        closer_to_the_style([euclidean, row("cosine ratio", 0.4, 0.3, 0.5, strength=1.0, exponent=2.0)]).word
        == REPRODUCED
    )
    assert (
        closer_to_the_style([euclidean, row("cosine ratio", 0.6, 0.5, 0.7, strength=1.0, exponent=2.0)]).word == PARTLY
    )
    assert closer_to_the_style([euclidean, row("cosine ratio", 0.9, 0.8, 1.1, strength=1.0, exponent=2.0)]).word == NOT
    assert closer_to_the_style([euclidean]).word == NOT_MEASURED


def test_every_size_of_every_study_is_valid_and_takes_the_shared_options(tmp_path: Path) -> None:
    for study in STUDIES.values():
        for size in ("default", "quick", "full"):
            config = configured(study, size, All(output=tmp_path, device="cpu", weights="other"))  # type: ignore[arg-type]
            assert config.output == tmp_path and getattr(config, "device", "cpu") == "cpu"
            config.validate()


def test_the_page_shows_what_has_rows(tmp_path: Path) -> None:
    RowStore(tmp_path / "ddim_steps.jsonl").append(row("FAD", 5.0, 4.5, 5.5, steps=32))
    RowStore(tmp_path / "ddim_steps.jsonl").append(row("FAD", 4.0, 3.5, 4.5, steps=64))
    (tmp_path / "ddim_steps.png").write_bytes(b"")
    write_page(tmp_path, "quick")
    page = (tmp_path / "README.md").read_text()
    assert "reproduced | lowest FAD 4.00 [3.50, 4.50] at 64 steps" in page
    assert "(ddim_steps.png)" in page and "`python -m experiments.ddim_steps --quick`" in page
    assert "match_matrix" not in page


def test_all_runs_the_chosen_studies_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    class Quick:
        def run(self) -> None:
            ran.append(len(ran))

    monkeypatch.setattr(every, "configured", lambda study, size, options: Quick())
    All(quick=True, only=("listening", "match_matrix"), output=tmp_path).run()
    assert ran == [0, 1] and (tmp_path / "README.md").exists()
    with pytest.raises(BadInputError, match="no study"):
        All(only=("nothing",)).validate()
    with pytest.raises(BadInputError, match="exclude"):
        All(quick=True, full=True).validate()
