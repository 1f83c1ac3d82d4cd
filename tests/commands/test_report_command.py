"""`bassbench report`: from run folders and rows to the page; bad input gets one line."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bassbench.audio import SAMPLE_RATE, write_audio
from bassbench.cache import content_hash
from bassbench.commands.report import Report
from bassbench.errors import BadInputError
from bassbench.report import examples as examples_module
from bassbench.report.examples import run_examples
from bassbench.report.notes import metric_notes
from bassbench.results.rows import Measurement, RowStore, measured
from bassbench.songs.render import Clip
from bassbench.suite.clip_set import ClipEntry, ClipSet
from bassbench.suite.run_folder import ROWS, ClipRow, ClipRowStore, RunConfig, start_run

NAMES = ("song a-0", "song/b-0", "song c-0")


def noise(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((2, SAMPLE_RATE // 2))).astype(np.float32)


def entry(index: int) -> ClipEntry:
    name = NAMES[index]
    clip = Clip(name, name[:-2], noise(index), noise(9 + index), (), (), (), (), (), 0.0, 33, "")
    return ClipEntry(name, name[:-2], f"key {index}", lambda: clip)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> ClipSet:
    clips = ClipSet("made", tuple(entry(index) for index in range(3)))
    monkeypatch.setattr(examples_module, "open_clip_set", lambda name, seconds: clips)
    return clips


def make_run(folder: Path, data: ClipSet, system: str = "model", outputs: str = "") -> Path:
    config = RunConfig(
        system=system, spec="x:Y", setting={}, data="made", data_name="made", seconds=None, clips=NAMES, style="none",
        reference=(),
        data_hash=content_hash(*(clip.key for clip in data.clips))[:8], seed=0, embedder="musicnn", metrics=("FAD",),
        outputs=outputs,
    )  # fmt: skip
    start_run(folder, config)
    about = Measurement(experiment="suite", system=system, setting={}, metric="FAD", clips=3, seed=0, protocol={"n": 1})
    RowStore(folder / ROWS).append(measured(about, 7.25, 6, math.nan, seconds=1))
    ClipRowStore(folder).append([ClipRow(NAMES[1], "song/b", "passes the gate", 1, "p", "o", 0.0, "silent")], 0)
    for index, name in enumerate(NAMES):
        write_audio(folder / "audio" / f"{name.replace('/', '_')}.flac", noise(20 + index))
    return folder


def test_a_run_becomes_a_page_with_its_audio(tmp_path: Path, data: ClipSet, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", data)
    Report((run,), output=tmp_path / "page.html", examples=2).run()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 2 * 5 and "not available" not in page
    assert "7.25" in page and "Fréchet" in page and "GPL-2" in page
    assert "caught by the gate (silent)" in page
    assert "page.html: 1 results" in capsys.readouterr().out


def test_runs_on_the_same_data_are_heard_side_by_side(tmp_path: Path, data: ClipSet) -> None:
    runs = [make_run(tmp_path / name, data) for name in ("first", "second")]
    examples = run_examples(runs, 2)
    assert [example.name for example in examples] == list(NAMES[:2])
    assert list(examples[0].generated) == ["model (first)", "model (second)"]


def test_scored_files_are_found_by_song_and_the_mix_may_be_gone(
    tmp_path: Path, data: ClipSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = tmp_path / "scored"
    scored.mkdir()
    soundfile.write(scored / "song a.ogg", noise(1).T, SAMPLE_RATE)
    run = make_run(tmp_path / "run", data, outputs=str(scored))
    first, second, third = run_examples([run], 3)
    assert first.generated["model"] is not None and first.mix is not None
    assert second.generated["model"] is None and third.generated["model"] is None
    changed = ClipSet("made", data.clips[:2])
    monkeypatch.setattr(examples_module, "open_clip_set", lambda name, seconds: changed)
    assert run_examples([run], 1)[0].mix is None
    assert "data 'made' has changed" in capsys.readouterr().err


def test_a_study_brings_its_figure(tmp_path: Path) -> None:
    about = Measurement(experiment="e", system="s", setting={}, metric="m", clips=3, seed=0, protocol={})
    RowStore(tmp_path / "study.jsonl").append(measured(about, 1, 1, 1, seconds=1))
    (tmp_path / "study.png").write_bytes(b"not looked into")
    Report((tmp_path,), output=tmp_path / "page.html").run()
    assert (tmp_path / "page.html").read_text().count("<img") == 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "no result rows"),
        ('{"no": "row"}\n', {}, "not a result row"),
        (None, {}, "no such file or folder"),
        ("", {"examples": -1}, "--examples"),
        ("", {"seconds": math.nan}, "--seconds"),
        ("", {"output": Path("page.pdf")}, r"page\.pdf: a report is an \.html file"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, content: str | None, options: dict, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInputError, match=message):
        Report((path,), **{"output": tmp_path / "page.html", **options}).run()
    with pytest.raises(BadInputError, match="nothing to report"):
        Report((), output=tmp_path / "page.html").run()
    assert not (tmp_path / "page.html").exists()


def test_every_metric_of_the_suite_is_explained() -> None:
    notes = metric_notes()
    assert all(note.meaning and note.better for note in notes), [n.name for n in notes if not n.meaning]
    assert len({note.name for note in notes}) == len(notes)


def test_a_page_of_the_default_name_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    about = Measurement(experiment="e", system="s", setting={}, metric="m", clips=3, seed=0, protocol={})
    RowStore(tmp_path / "study.jsonl").append(measured(about, 1, 1, 1, seconds=1))
    Path("report.html").write_text("my report")
    with pytest.raises(BadInputError, match=r"report.html: is there already.*-o, or give --overwrite"):
        Report((Path("study.jsonl"),)).run()
    assert Path("report.html").read_text() == "my report"
    Report((Path("study.jsonl"),), overwrite=True).run()
    Report((Path("study.jsonl"),)).run()
