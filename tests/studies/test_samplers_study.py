"""The study of samplers on tiny random weights: rows, report, resuming; and what it says of rows."""

import dataclasses
from pathlib import Path

import pytest
from tiny_studies import few_clips, made_row, use_made_songs

from bassbench.errors import BadInputError
from bassbench.results.rows import RowStore
from bassbench.songs.song_bank import Song
from bassbench.suite.anchors import OTHER, REAL, noise, other_song, real
from experiments import playing
from experiments.playing import FAD, MATCH
from experiments.samplers import ERROR, SECONDS, STUDY, TITLES, Samplers, findings, steps_for
from reference_model.pipeline import BassAccompaniment
from reference_model.sampler import SAMPLERS


@pytest.fixture
def config(weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samplers:
    use_made_songs(song, monkeypatch)
    return Samplers(
        evaluations=(2, 4),
        converged=12,
        **few_clips(weights, tmp_path / "out"),
    )


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: Samplers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = {REAL: real, OTHER: other_song, "noise": noise}
    monkeypatch.setattr(playing, "anchors", lambda codec: some)
    config.run()
    kinds = [f"samplers.{kind}" for kind in ("csv", "jsonl", "md", "png")]
    assert sorted(path.name for path in config.output.iterdir()) == kinds
    rows = RowStore(config.output / "samplers.jsonl").rows()
    found = {(row.system, row.setting.get("evaluations"), row.metric): row for row in rows}
    assert len(found) == len(rows) == 3 * 4 + 3 * 2 * 6
    assert found["real bass", None, FAD].value < found["noise", None, FAD].value
    for title in TITLES.values():
        assert 0 < found[title, 4, ERROR].value < found[title, 2, ERROR].value
        assert found[title, 4, SECONDS].value > 0
    # With two evaluations all three are two steps of DDIM.
    two = {round(found[title, 2, ERROR].value, 4) for title in TITLES.values()}
    assert len(two) == 1 and found["DDIM", 4, MATCH].value != found["Heun", 4, MATCH].value
    assert "DPM-Solver++(2M)" in capsys.readouterr().out

    written = {path.name: path.read_bytes() for path in config.output.iterdir()}
    for module, name in ((BassAccompaniment, "generate_latents"), (playing, "cached_clip"), (playing, "fad")):
        monkeypatch.setattr(module, name, None)
    config.run()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == written


def test_every_sampler_is_given_steps_that_take_the_evaluations() -> None:
    assert set(TITLES) == set(SAMPLERS)
    assert [steps_for("ddim", count) for count in (2, 64)] == [2, 64]
    assert [steps_for("heun", count) for count in (2, 4, 64)] == [2, 3, 33]


def test_findings_say_from_which_number_on_a_sampler_is_enough() -> None:
    rows = []
    for title, distances, errors in (
        ("DDIM", (40, 30, 20), (0.4, 0.2, 0.1)),
        ("DPM-Solver++(2M)", (40, 20.5, 20), (0.3, 0.1, 0.01)),
        ("Heun", (20, 40, 30), (0.3, 0.2, 0.15)),
    ):
        for count, distance, error in zip((2, 4, 8), distances, errors, strict=True):
            rows.append(made_row(title, FAD, distance, distance - 1, distance + 1, evaluations=count))
            rows.append(made_row(title, ERROR, error, error, error, evaluations=count))
    said = findings(rows)
    assert "DDIM with 8 evaluations reaches FAD 20.0 [19.0, 21.0]" in said
    assert "DDIM stays within that interval from 8 evaluations on." in said
    assert "DPM-Solver++(2M) stays within that interval from 4 evaluations on; its latents are as near" in said
    assert "Heun first comes within that interval at 2 evaluations; its latents never come as near" in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 3}, "at least 4"),
        ({"evaluations": ()}, "--evaluations"),
        ({"evaluations": (3,)}, "--evaluations"),
        ({"evaluations": (2, 2)}, "--evaluations"),
        ({"converged": 4}, "--converged"),
        ({"phi": 2.0}, "phi"),
        ({"batch_size": 0}, "--batch-size"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: Samplers, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
    assert not list(config.output.glob("*"))


@pytest.mark.parametrize("size", [Samplers(), STUDY.quick, STUDY.full])
def test_the_sizes_are_possible(size: Samplers) -> None:
    size.validate()
