"""Running every study: the page of claims from made rows, and that each study is run with the shared options."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bassbench.errors import BadInputError
from bassbench.results.rows import Measurement, Row, RowStore, measured, write_csv
from experiments import all as every
from experiments.all import STUDIES, All, configured, find_study, reported
from experiments.cfg_sweep import rescale_helps
from experiments.ddim_steps import fewest_steps
from experiments.grounding import closer_to_the_style
from experiments.match_matrix import diagonal
from experiments.studies import NOT, NOT_MEASURED, PARTLY, REPRODUCED


def row(metric: str, value: float, low: float, high: float, system: str = "reference model", **setting: object) -> Row:
    wanted = Measurement(experiment="x", system=system, setting=setting, metric=metric, clips=25, seed=0, protocol={})
    return measured(wanted, value, low, high, seconds=1.0)


def test_the_claim_of_64_steps() -> None:
    at_32, at_64 = row("FAD", 5.0, 4.5, 5.5, steps=32), row("FAD", 4.0, 3.5, 4.5, steps=64)
    assert fewest_steps([at_32, at_64]).word == REPRODUCED
    assert fewest_steps([at_64, row("FAD", 3.8, 3.0, 4.0, steps=128)]).word == PARTLY
    assert fewest_steps([at_64, row("FAD", 2.0, 1.0, 3.0, steps=128)]).word == NOT
    assert fewest_steps([at_32]).word == NOT_MEASURED


def test_the_claim_of_64_steps_by_differences_song_by_song() -> None:
    rows = [
        row("FAD", 4.0, 3.0, 5.0, "reference model, unconditional", steps=64),
        row("FAD", 3.8, 3.0, 5.0, "reference model, unconditional", steps=128),
        row("FAD", 1.0, 0.5, 1.5, "reference model, conditional", steps=16),
    ]
    change = "FAD against 64 steps"
    some = fewest_steps([*rows, row(change, -0.2, -0.5, 0.1, "reference model, unconditional", steps=128)])
    assert some.word == PARTLY and "-0.20 [-0.50, 0.10] song by song" in some.numbers
    assert fewest_steps([*rows, row(change, -0.2, -0.3, -0.1, "reference model, unconditional", steps=128)]).word == NOT


def test_the_claim_of_the_rescale() -> None:
    def rows(*highs: float) -> list[Row]:
        return [
            row("FAD gained by rescale", high - 1, high - 2, high, cfg=weight, phi=phi)
            for phi in (0.5, 1.0)
            for weight, high in zip((2.0, 3.0, 4.0), (-1.0, *highs) if phi == 1 else (1.0, 1.0, 1.0), strict=True)
        ]

    verdict = rescale_helps(rows(-1.0, -2.0))
    assert verdict.word == REPRODUCED
    assert verdict.numbers.startswith("phi 1: FAD certainly lower at 2 of 2 weights above 2.5, changed by -3.00")
    assert "; at 1 of 1 above 3.5, the paper's 2.5 if only the sign" in verdict.numbers
    assert rescale_helps(rows(-1.0, 1.0)).word == PARTLY
    assert rescale_helps(rows(1.0, 1.0)).word == NOT
    assert rescale_helps([]).word == NOT_MEASURED


def test_the_claim_of_the_diagonal() -> None:
    assert diagonal([row("diagonal share", 0.8, 0.7, 0.9, cfg=2.0)]).word == REPRODUCED
    assert diagonal([row("diagonal share", 0.2, 0.1, 0.3, cfg=2.0)]).word == PARTLY
    assert diagonal([row("diagonal share", 0.05, 0.03, 0.08, cfg=2.0)]).word == NOT
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
    for name in STUDIES:
        study = find_study(name)
        assert study.name == name
        for size in ("default", "quick", "full"):
            config = configured(study, size, All(output=tmp_path, device="cpu", weights="other"))  # type: ignore[arg-type]
            assert config.output == tmp_path and getattr(config, "device", "cpu") == "cpu"
            config.validate()


def test_the_page_shows_what_has_a_table_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [row("FAD", v, v - 0.5, v + 0.5, "reference model, unconditional", steps=k) for v, k in ((5, 32), (4, 64))]
    old = row("FAD", 1.0, 0.5, 1.5, "reference model, unconditional", steps=16, weights="old")
    for one in (old, *shown):
        RowStore(tmp_path / "ddim_steps.jsonl").append(one)
    write_csv(shown, tmp_path / "ddim_steps.csv")
    (tmp_path / "ddim_steps.png").write_bytes(b"")
    (tmp_path / "targets.md").write_text("# Targets of the model\n")
    monkeypatch.setattr(every, "configured", None)
    All(quick=True, page=True, output=tmp_path).run()
    page = (tmp_path / "README.md").read_text()
    assert "| reproduced | lowest FAD 4.00 [3.50, 4.50] at 64 steps" in page
    assert "(ddim_steps.png)" in page and "`python -m experiments.ddim_steps --quick`" in page
    assert "lowest, 4.0 [3.5, 4.5], at 64 steps" in page
    assert "match_matrix" not in page and "[Targets of the model](targets.md)" in page
    assert reported(tmp_path / "ddim_steps.csv") == shown and reported(tmp_path / "none.csv") == []


def test_a_table_of_an_earlier_study_does_not_stop_the_page(tmp_path: Path) -> None:
    write_csv([row("FAD", 4.0, 3.5, 4.5, cfg=2.0, phi=0.0)], tmp_path / "cfg_sweep.csv")
    All(page=True, output=tmp_path).run()
    page = (tmp_path / "README.md").read_text()
    assert "earlier form of the study" in page and f"| {NOT_MEASURED} |" in page


def test_a_table_from_before_a_field_came_to_be_is_read(tmp_path: Path) -> None:
    write_csv([row("FAD", 4.0, 3.5, 4.5)], tmp_path / "now.csv")
    frame = pd.read_csv(tmp_path / "now.csv", dtype=str, keep_default_na=False)
    frame.drop(columns="left_out").to_csv(tmp_path / "before.csv", index=False)
    assert reported(tmp_path / "before.csv") == reported(tmp_path / "now.csv")


def test_undefined_values_survive_the_table_and_other_tables_are_refused(tmp_path: Path) -> None:
    write_csv([row("FAD", float("nan"), float("nan"), float("nan"))], tmp_path / "a.csv")
    assert np.isnan(reported(tmp_path / "a.csv")[0].value)
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInputError, match="not a study's table"):
        reported(tmp_path / "b.csv")


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
