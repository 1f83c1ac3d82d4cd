"""The note, table and figure of the saved benchmarks: targets from rows, hardware named, bad files refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bassbench.errors import BadInputError
from experiments.throughput import (
    COLUMNS,
    TARGETS,
    Options,
    codec_ratio,
    distance_ratio,
    fad_ratio,
    generation,
    growth,
    hardware,
    note,
    read,
    rows,
    run,
    targets,
)


def entry(group: str, seconds: float, **kept: Any) -> dict[str, Any]:
    """A benchmark as pytest-benchmark saves it."""
    audio = kept.get("audio_seconds")
    info = {"system": "bassbench", "dtype": "float32", "device": "cpu", "threads": 2, "peak_gflops": 100.0, **kept}
    if audio:
        info["real_time_factor"] = audio / seconds
    stats = {"median": seconds, "q1": 0.9 * seconds, "q3": 1.2 * seconds, "rounds": 3}
    return {"group": group, "name": f"test[{len(kept)}]", "stats": stats, "extra_info": info}


BENCHMARKS = [
    entry("codecs side by side", 0.1, case="encode", system="bassbench mix", audio_seconds=3.0),
    entry("codecs side by side", 0.05, case="encode", system="bassbench bass", audio_seconds=3.0),
    entry("codecs side by side", 0.2, case="decode", system="bassbench bass", audio_seconds=3.0),
    entry("codecs side by side", 0.9, case="encode", system="EnCodec 48 kHz", audio_seconds=3.0, weights="random"),
    entry("codecs side by side", 0.7, case="encode", system="DAC 44.1 kHz", audio_seconds=3.0, weights="random"),
    entry("codecs side by side", 0.8, case="decode", system="DAC 44.1 kHz", audio_seconds=3.0, weights="random"),
    entry("FAD side by side", 2.0, case="musicnn", clips=16),
    entry("FAD side by side", 3.0, case="musicnn", clips=16, system="fadtk"),
    entry("Fréchet distance", 0.001, case="d = 128", dim=128),
    entry("Fréchet distance", 0.002, case="d = 128", dim=128, system="fadtk"),
    entry("Fréchet distance", 0.2, case="d = 1024", dim=1024),
    entry("Fréchet distance", 5.0, case="d = 1024", dim=1024, system="fadtk"),
    entry(
        "generation, wav to wav", 0.4, case="16 evaluations", frames=256, audio_seconds=24.0, gflop=30.0, gflops=75.0
    ),
    entry("generation, wav to wav", 0.1, case="16 evaluations", frames=64, audio_seconds=6.0),
    entry("generation, wav to wav", 2.0, case="64 steps, guided", frames=256, audio_seconds=24.0, share_of_peak=0.5),
    *(entry("FAD by clips", 0.1 * n, case="wav to distance", clips=n, memory_mb=40.0) for n in (4, 8, 16)),
    *(entry("sampling", 0.3 * n, case="8 steps, guided", batch=n) for n in (1, 8)),
    entry("match by clips", 0.3, case="mixes with basses", clips=2),
]
SAVED = {
    "datetime": "2026-11-25T00:00:00",
    "commit_info": {"id": "0123456789abcdef"},
    "machine_info": {"python_version": "3.11", "cpu": {"brand_raw": "A Processor", "count": 2}},
    "benchmarks": BENCHMARKS,
}


@pytest.fixture()
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "benchmarks.json"
    foreign = {"group": None, "name": "other", "stats": {}, "extra_info": {}}
    path.write_text(json.dumps({**SAVED, "benchmarks": [*BENCHMARKS, foreign]}))
    return path


def test_a_run_writes_table_note_and_figure(saved: Path, tmp_path: Path) -> None:
    paths = run(Options((saved,), tmp_path / "results"))
    assert [path.name for path in paths] == ["throughput.csv", "throughput.md", "throughput.png"]
    table = pd.read_csv(paths[0])
    assert list(table.columns) == list(COLUMNS) and len(table) == len(BENCHMARKS)
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in run(Options((saved,), tmp_path / "again"))] == first


def test_several_files_of_one_machine_are_put_together(tmp_path: Path) -> None:
    paths = []
    for number, node in enumerate(("here", "here", "there")):
        paths.append(tmp_path / f"{number}.json")
        content = {**SAVED, "machine_info": {"node": node}, "benchmarks": BENCHMARKS[number : number + 1]}
        paths[-1].write_text(json.dumps(content))
    assert len(pd.read_csv(run(Options(tuple(paths[:2]), tmp_path))[0])) == 2
    with pytest.raises(BadInputError, match="several machines"):
        run(Options(tuple(paths), tmp_path))


def test_the_note_names_the_hardware_and_the_targets(saved: Path) -> None:
    content = read(saved)
    frame = rows(content)
    assert hardware(content, frame).startswith("A Processor, 2 cores; torch with 2 threads")
    text = note(content, frame)
    assert "A Processor" in text and "100 GFLOP/s in float32" in text and "commit 01234567" in text
    assert all(target.name in text for target in TARGETS) and text.startswith("# Throughput\n")
    assert "and changes to it" in note({**content, "commit_info": {"id": "0123", "dirty": True}}, frame)
    other = note(content, frame, "throughput_h100_paper")
    assert other.startswith("# Throughput: h100, paper\n") and "(throughput_h100_paper.png)" in other


@pytest.mark.parametrize(("load", "said"), [(None, False), (2.2, False), (9.0, True)])
def test_a_busy_machine_is_told(load: float | None, said: bool) -> None:
    frame = rows({**SAVED, "benchmarks": [entry("sampling", 0.1, case="8 steps", load=load)]})
    assert ("not quiet" in note(SAVED, frame)) == said


def test_measured_figures_come_from_the_rows() -> None:
    frame = rows(SAVED)
    assert codec_ratio("encode")(frame) == pytest.approx(7)  # the slower of ours, the fastest peer
    assert codec_ratio("decode")(frame) == pytest.approx(4)
    assert fad_ratio(frame) == pytest.approx(1.5)
    assert distance_ratio(frame) == pytest.approx(25)
    assert generation("16 evaluations")(frame) == pytest.approx(60)
    assert growth("seconds")(frame) == pytest.approx(1) and growth("memory_mb")(frame) == pytest.approx(0)


def test_targets_are_met_missed_or_not_measured() -> None:
    verdicts = targets(rows(SAVED)).set_index("what it is")["verdict"]
    assert verdicts["codec, encode: times the fastest peer"] == "met"
    assert verdicts["codec, decode: times the fastest peer"].startswith("missed: ")
    assert verdicts["FAD: exponent of memory over clips"] == "met"
    nothing = targets(rows({**SAVED, "benchmarks": BENCHMARKS[-1:]}))
    assert set(nothing["verdict"]) == {"not measured", "not measured: takes a GPU"} and set(nothing["measured"]) == {""}


def test_targets_of_a_gpu_take_its_rows_alone() -> None:
    fast = {"case": "8 evaluations", "batch": 1, "audio_seconds": 24.0}
    name = "GPU: generation, 8 evaluations: times real time"

    def verdict(device: str) -> str:
        frame = rows({**SAVED, "benchmarks": [entry("generation, arrays", 0.004, device=device, **fast)]})
        return targets(frame).set_index("what it is")["verdict"][name]

    assert verdict("a GPU") == "met" and verdict("cpu") == "not measured: takes a GPU"


def test_a_figure_of_few_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "few.json"
    path.write_text(json.dumps({"benchmarks": BENCHMARKS[:1]}))
    assert all(written.stat().st_size for written in run(Options((path,), tmp_path)))


def test_no_figure_where_there_is_nothing_to_draw(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"benchmarks": [entry("training step", 0.1, case="diffusion", batch=128)]}))
    written = run(Options((path,), tmp_path, name="throughput_gpu"))
    assert [one.name for one in written] == ["throughput_gpu.csv", "throughput_gpu.md"]
    assert ".png" not in written[1].read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"benchmarks": []}', '{"benchmarks": [{"extra_info": {}}]}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"other\.json"):
        read(path)
    with pytest.raises(BadInputError, match="missing"):
        read(tmp_path / "missing.json")


def test_missing_peers_leave_a_target_unmeasured() -> None:
    ours = [benchmark for benchmark in BENCHMARKS if "weights" not in benchmark["extra_info"]]
    assert np.isnan(codec_ratio("encode")(rows({**SAVED, "benchmarks": ours})))
