"""The main job on tiny random weights: rows, report, resuming, and one clear line for bad input."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_studies import few_clips, made_row, use_made_songs

from bassbench.audio import SAMPLE_RATE
from bassbench.cache import cache_folder
from bassbench.embedders import cache as embedding_cache
from bassbench.embedders.cache import embed_cached
from bassbench.embedders.registry import embed
from bassbench.errors import BadInputError
from bassbench.results.rows import RowStore
from bassbench.songs.song_bank import Song
from experiments import ddim_steps, playing, studies
from experiments.ddim_steps import CONDITIONAL, DIFFERENCE, SECONDS, UNCONDITIONAL, DDIMSteps, findings
from experiments.playing import CHORDS, COLLAPSED, FAD, MATCH, Evaluator
from reference_model.pipeline import BassAccompaniment

SECOND = "FAD, musicnn"


@pytest.fixture(autouse=True)
def _made_songs(song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_songs(song, monkeypatch)


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> DDIMSteps:
    return DDIMSteps(
        steps=(1, 2, 64),
        second_embedder="musicnn",
        **few_clips(weights, tmp_path / "out"),
    )


def rows_by_cell(folder: Path) -> dict[tuple[str, int | None, str], float]:
    """All values but the clock's."""
    rows = [row for row in RowStore(folder / "ddim_steps.jsonl").rows() if row.metric != SECONDS]
    by_cell = {(row.system, row.setting.get("steps"), row.metric): row.value for row in rows}
    assert len(by_cell) == len(rows)
    return by_cell


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: DDIMSteps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.run()
    assert sorted(path.name for path in config.output.iterdir()) == [
        f"ddim_steps.{kind}" for kind in ("csv", "jsonl", "md", "png")
    ]
    cells = rows_by_cell(config.output)
    assert len(cells) == (7 + 3) * 5 + 2
    for distance in (FAD, SECOND):
        assert cells["real bass", None, distance] < cells["noise", None, distance]
        assert cells["real bass", None, distance] < cells["silence", None, distance]
        assert cells["bass of another song", None, distance] == pytest.approx(cells["real bass", None, distance])
    assert cells["real bass", None, COLLAPSED] == 0 and cells["silence", None, COLLAPSED] == 1
    assert cells["silence", None, MATCH] == -1 and cells["real bass", None, CHORDS] > 0.9
    gained = cells[UNCONDITIONAL, 2, FAD] - cells[UNCONDITIONAL, 64, FAD]
    assert cells[UNCONDITIONAL, 2, DIFFERENCE] == pytest.approx(gained)
    row = RowStore(config.output / "ddim_steps.jsonl").rows()[-1]
    assert row.protocol["FAD"]["embedder"] == "log-mel" and row.protocol["second FAD"]["embedder"] == "musicnn"
    assert (row.metric, row.setting["steps"]) == (SECONDS, 2) and row.value > 0 and row.device == "cpu"
    report = (config.output / "ddim_steps.md").read_text()
    assert row.setting["weights"] in report and "lufs -23.0" in report and "ddim_steps.png" in report
    said = capsys.readouterr().out
    assert "The paper finds the FAD of unconditional samples lowest at 64" in said and CONDITIONAL not in said

    written = {path.name: path.read_bytes() for path in config.output.iterdir()}
    for module, name in ((BassAccompaniment, "generate_latents"), (playing, "cached_clip"), (playing, "fad")):
        monkeypatch.setattr(module, name, None)
    config.run()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == written


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(
    config: DDIMSteps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, steps=(2,), conditional=True)
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "first"))
    config.run()
    whole = rows_by_cell(config.output)
    assert {system for system, steps, _ in whole if steps} == {UNCONDITIONAL, CONDITIONAL}
    cut = dataclasses.replace(config, output=tmp_path / "cut")
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "second"))
    sample, asked = BassAccompaniment.generate_latents, []

    def stops(self: BassAccompaniment, *args: object, **options: object) -> torch.Tensor:
        asked.append(options["sampling"])
        if len(asked) == 2:  # the second batch
            raise KeyboardInterrupt
        return sample(self, *args, **options)

    monkeypatch.setattr(BassAccompaniment, "generate_latents", stops)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert not (cut.output / "ddim_steps.md").exists()
    file = cut.output / "ddim_steps.jsonl"
    file.write_bytes(file.read_bytes() + b'{"experiment": "ddim_st')  # kill -9 while a line was written
    monkeypatch.setattr(BassAccompaniment, "generate_latents", sample)
    monkeypatch.setattr(Evaluator, "hear_anchor", lambda *_, **__: pytest.fail("the anchors' rows were there"))
    asked.clear()
    cut.run()
    assert rows_by_cell(cut.output) == pytest.approx(whole)


def test_what_another_study_heard_is_not_played_again(
    config: DDIMSteps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    config = dataclasses.replace(config, steps=(2,))
    config.run()
    asked = []
    sample = BassAccompaniment.generate_latents

    def counted(self: BassAccompaniment, *args: object, **options: object) -> torch.Tensor:
        asked.append(options["sampling"].steps)  # type: ignore[attr-defined]
        return sample(self, *args, **options)

    monkeypatch.setattr(BassAccompaniment, "generate_latents", counted)
    again = dataclasses.replace(config, output=tmp_path / "again")
    again.run()
    assert asked == [1, 2]  # to warm up, and a batch for the clock
    assert rows_by_cell(again.output) == rows_by_cell(config.output)
    for entry in cache_folder("heard").iterdir():
        entry.write_bytes(entry.read_bytes()[:-40])  # damaged: heard again
    third = dataclasses.replace(config, output=tmp_path / "third")
    third.run()
    assert asked == [1, 2, 2, 2]
    assert rows_by_cell(third.output) == rows_by_cell(config.output)


def test_findings_name_the_minimum_and_what_is_certainly_worse() -> None:
    rows = [
        made_row(UNCONDITIONAL, FAD, value, value - 1, value + 1, steps=steps)
        for steps, value in ((1, 90.0), (32, 20.5), (64, 20.0), (128, 19.0))
    ]
    rows += [
        made_row(UNCONDITIONAL, DIFFERENCE, 70, 60, 80, steps=1),
        made_row(UNCONDITIONAL, DIFFERENCE, -1, -2, 0.5, steps=128),
    ]
    said = findings(rows)
    assert "lowest, 19.0 [18.0, 20.0], at 128 steps (20.0 [19.0, 21.0] at 64), and within that interval from 64" in said
    assert "1 of steps is certainly worse than 64 and none certainly better" in said


def test_other_weights_are_another_measurement(config: DDIMSteps, weights: Path) -> None:
    model = studies.load_model(str(weights), "cpu")
    before = model.version
    assert studies.load_model(str(weights), "cpu").version == before
    with torch.no_grad():
        model.unet.output.weight += 1e-3
    assert model.version != before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 3}, "at least 4"),
        ({"clips": 6}, "has 10 songs"),
        ({"steps": ()}, "--steps"),
        ({"steps": (0,)}, "--steps"),
        ({"steps": (2, 2)}, "--steps"),
        ({"batch_size": 0}, "--batch-size"),
        ({"seed": -1}, "--seed"),
        ({"embedder": "nothing"}, "nothing"),
        ({"second_embedder": "log-mel"}, "another"),
        ({"cfg": 0.0}, "--cfg"),
        ({"device": "abacus"}, "abacus"),
        ({"weights": "nothing"}, "nothing"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: DDIMSteps, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
    assert not list(config.output.glob("*"))


def test_an_output_that_is_no_folder_is_refused_before_anything_is_computed(config: DDIMSteps, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="folder for results"):
        dataclasses.replace(config, output=tmp_path / "file").run()


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--clips", "many"], ["--embedder", "nothing"], ["--nothing"]])
def test_the_command_line_ends_with_status_2_on_bad_input(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ddim_steps", "--output", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as ended:
        ddim_steps.STUDY.main(ddim_steps.__doc__)
    assert ended.value.code == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_embeddings_are_computed_once_and_a_damaged_entry_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path))
    audio = np.random.default_rng(0).standard_normal((2, 4 * SAMPLE_RATE)).astype(np.float32)
    fresh = embed(audio, SAMPLE_RATE, "log-mel")
    np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
    (entry,) = cache_folder("embeddings").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "embed", None)
        np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
        with pytest.raises(TypeError):
            embed_cached(audio + 1e-6, "log-mel")
    whole = entry.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        entry.write_bytes(damaged)
        np.testing.assert_array_equal(embed_cached(audio, "log-mel"), fresh)
        assert entry.read_bytes() != damaged
