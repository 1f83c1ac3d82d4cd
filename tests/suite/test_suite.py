"""The suite on a tiny plug-in: rows, anchors, the gate, resuming after kills, sharding, memory."""

import dataclasses
import json
import shutil
import signal
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_suite import ON_TINY_DATA, PLUGIN, arguments, ended, installed, numbers, row, run, started

from bassbench.__main__ import main
from bassbench.metrics.metric import Scored
from bassbench.metrics.registry import all_measures
from bassbench.results.ownership import alone_in
from bassbench.results.rows import RowStore
from bassbench.suite.anchors import REAL
from bassbench.suite.clip_set import ClipEntry, open_clip_set, parts
from bassbench.suite.evaluation import Evaluation, make_plan, summarise
from bassbench.suite.run_folder import ClipRowStore, read_values
from bassbench.suite.scoreboard import markdown_board, terminal_board
from bassbench.suite.sources import AnchorSource, SystemSource
from bassbench.suite.suite import Share, measure_clips, partners, play_clips
from bassbench.suite.systems import load_system


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with installed(PLUGIN):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    output = tmp_path_factory.mktemp("run") / "out"
    run(output)
    return output


def test_a_run_has_a_row_for_every_metric_of_the_system_and_of_every_anchor(folder: Path) -> None:
    rows = RowStore(folder / "rows.jsonl").rows()
    systems = {r.system for r in rows}
    assert {"tiny tone", REAL, "silence", "noise", "up a semitone", "bass of another song"} <= systems
    for name in ("FAD", "KAD", "tiny level", "mono fold-down loss", "passes the gate"):
        assert {r.system for r in rows if r.metric == name} == systems
    assert [r.system for r in rows if r.metric == "output change (mix swapped)"] == ["tiny tone"]
    assert row(rows, "FAD", "noise").value > row(rows, "FAD", REAL).value
    assert row(rows, "FAD", "silence").value > row(rows, "FAD", REAL).value
    assert row(rows, "passes the gate", "silence").value == 0.0
    assert row(rows, "tiny level").low < row(rows, "tiny level").value < row(rows, "tiny level").high
    assert row(rows, "tiny level", "silence").clips == 0 and np.isnan(row(rows, "tiny level", "silence").value)
    assert "tiny level" in (folder / "table.md").read_text()


def test_real_and_other_song_are_one_set_to_metrics_of_sets(folder: Path) -> None:
    rows = RowStore(folder / "rows.jsonl").rows()
    assert row(rows, "KAD", REAL).value == pytest.approx(row(rows, "KAD", "bass of another song").value, abs=1e-9)
    for name in (REAL, "bass of another song", "noise"):
        assert 0 <= row(rows, "prompt adherence", name).value <= 1


def test_values_hold_every_clip_and_agree_with_the_row(folder: Path) -> None:
    rows, values = RowStore(folder / "rows.jsonl").rows(), read_values(folder)
    level = [value.value for value in values["tiny tone"] if value.metric == "tiny level"]
    assert len(level) == 7
    assert row(rows, "tiny level").value == pytest.approx(np.mean(level), abs=1e-12)


def test_the_systems_own_numbers_are_shown_before_anything_is_measured_of_an_anchor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    give = AnchorSource.give

    def heard(source: AnchorSource, index: int) -> Scored:
        shown.append(capsys.readouterr().out)
        return give(source, index)

    monkeypatch.setattr(AnchorSource, "give", heard)
    run(tmp_path, "--seed", "11")  # a seed of its own: nothing is at hand
    for metric in ("tiny level", "passes the gate", "KAD"):
        assert metric in shown[0]
    assert REAL not in shown[0] and REAL in capsys.readouterr().out


def test_running_again_plays_nothing_and_changes_nothing(folder: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "audio").iterdir()}
    rows = RowStore(folder / "rows.jsonl").rows()
    assert numbers(run(folder)) == numbers(rows)
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "audio").iterdir()} == before


def test_more_clips_reuse_those_that_were_played(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "more")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "more" / "audio").iterdir()}
    rows = run(tmp_path / "more", clips=8)
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "more" / "audio").iterdir()}
    assert len(after) == 8 and before.items() <= after.items()
    assert numbers(rows) == numbers(run(tmp_path / "fresh", clips=8))


def test_another_system_or_seed_is_refused_in_the_same_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, said in ((["hz=110"], "setting"), (["--seed", "3"], "seed")):
        with pytest.raises(SystemExit, match="2"):
            run(folder, *more)
        assert said in capsys.readouterr().err


def test_collapsed_and_broken_clips_are_counted(tmp_path: Path) -> None:
    silent = run(tmp_path / "silent", "silent=1", metrics="FAD,tiny level")
    assert row(silent, "passes the gate").value == 0.0 and row(silent, "passes the gate").clips == 7
    broken = run(tmp_path / "nan", "nan=True", metrics="FAD,tiny level")
    assert row(broken, "passes the gate").value == 0.0
    assert row(broken, "tiny level").clips == 0
    assert row(broken, "FAD").value == pytest.approx(row(silent, "FAD").value)  # broken counts as silence
    notes = {v.note for v in read_values(tmp_path / "nan")["tiny tone"] if v.metric == "passes the gate"}
    assert notes == {"broken"}


def test_a_folder_of_what_a_system_played_scores_as_the_system_did(folder: Path, tmp_path: Path) -> None:
    shared = [*ON_TINY_DATA, "--clips", "7", "--output", str(tmp_path / "out")]
    main(["score", str(folder / "audio"), *shared, "--metrics", "FAD,tiny level", "--name", "tiny tone"])
    scored, played = RowStore(tmp_path / "out" / "rows.jsonl").rows(), RowStore(folder / "rows.jsonl").rows()
    for name in ("FAD", "tiny level", "passes the gate"):
        assert row(scored, name).value == row(played, name).value


def test_a_folder_of_stems_is_scored(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for track in ("one", "two", "three"):
        (tmp_path / "stems" / track).mkdir(parents=True)
        for stem in ("bass", "drums"):
            audio = 0.1 * generator.standard_normal((48_000 * 5, 2))
            soundfile.write(tmp_path / "stems" / track / f"{stem}.wav", audio, 48_000)
    data = ["--data", str(tmp_path / "stems"), "--seconds", "2", "--clips", "3", "--metrics", "tiny level"]
    main(["run", "tiny-tone", *data, "--output", str(tmp_path / "out")])
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert row(rows, "tiny level", REAL).value == pytest.approx(-20, abs=1)  # resampled, turned down from full scale
    assert row(rows, "tiny level").clips == 3


def test_audio_that_changed_is_scored_anew(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "audio", tmp_path / "basses")
    command = ["score", str(tmp_path / "basses"), "--data", "tiny", "--clips", "7", "--metrics", "tiny level"]
    command += ["--output", str(tmp_path / "out"), "--name", "mine"]
    main(command)
    before = row(RowStore(tmp_path / "out" / "rows.jsonl").rows(), "tiny level", "mine").value
    path = next(iter(sorted((tmp_path / "basses").iterdir())))
    audio, rate = soundfile.read(path)
    soundfile.write(path, audio / 10, rate, subtype="PCM_24")
    main(command)
    after = row(RowStore(tmp_path / "out" / "rows.jsonl").rows(), "tiny level", "mine").value
    assert before - after == pytest.approx(20 / 7, abs=0.01)


@pytest.mark.parametrize(("rate", "channels", "suffix"), [(48_000, 1, "wav"), (22_050, 2, "flac"), (44_100, 2, "mp3")])
def test_a_folder_may_hold_any_rate_and_channels(
    folder: Path, tmp_path: Path, rate: int, channels: int, suffix: str
) -> None:
    from bassbench.audio import resample

    for path in (folder / "audio").iterdir():
        audio = resample(soundfile.read(path, dtype="float32")[0].T, 44_100, rate)[:channels]
        (tmp_path / "basses").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "basses" / f"{path.stem}.{suffix}", audio.T, rate)
    out = tmp_path / "out"
    shared = ["--data", "tiny", "--clips", "7", "--metrics", "tiny level", "--output", str(out)]
    main(["score", str(tmp_path / "basses"), *shared])
    played = row(RowStore(folder / "rows.jsonl").rows(), "tiny level").value
    assert row(RowStore(out / "rows.jsonl").rows(), "tiny level", "basses").value == pytest.approx(played, abs=0.3)


def test_killed_at_twenty_moments_the_rows_are_those_of_an_unbroken_run(tmp_path: Path) -> None:
    unbroken, generator = tmp_path / "unbroken", np.random.default_rng(0)

    def ran(place: Path, kill_at: int) -> int:
        """The exit status, or minus the signal, of a run into `place`, killed at its write of that number."""
        # Another seed than other tests, so that the anchors are measured too, and killed on the way.
        command = arguments(place / "out", "--seed", "5", metrics="KAD,tiny level,output change (mix swapped)")
        return ended(started(command, {"BASSBENCH_CACHE": str(place / "cache")}, kill=(place, kill_at)))

    assert ran(unbroken, 0) == 0
    expected, values = RowStore(unbroken / "out/rows.jsonl").rows(), (unbroken / "out/values.jsonl").read_text()
    writes = int((unbroken / "writes").read_text())
    assert writes > 50
    kills, rounds = 0, 0
    while kills < 20:
        place = tmp_path / f"killed{rounds}"
        while (status := ran(place, int(generator.integers(1, writes + 1)))) != 0:
            assert status == -signal.SIGKILL
            kills += 1
        assert numbers(RowStore(place / "out/rows.jsonl").rows()) == numbers(expected)
        assert (place / "out/values.jsonl").read_text() == values
        rounds += 1
    assert not list(tmp_path.glob("killed*/out/rows.jsonl.*"))


def test_two_processes_leave_the_rows_of_one(tmp_path: Path) -> None:
    """As `torchrun --nproc-per-node 2 -m bassbench run` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for count in (1, 2):
        command = arguments(tmp_path / str(count), "--seed", "6")
        shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": str(port)}
        shared |= {"MASTER_ADDR": "127.0.0.1", "BASSBENCH_CACHE": str(tmp_path / f"cache{count}")}
        processes = [
            started(command, shared | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}))
            for rank in range(count)
        ]
        assert [ended(process) for process in processes] == [0] * count
    assert len(list((tmp_path / "2").glob("clips.*.jsonl"))) == 2
    one, two = (RowStore(tmp_path / count / "rows.jsonl").rows() for count in "12")
    assert numbers(one) == numbers(two)


@pytest.mark.parametrize("processes", [2, 3])
def test_shares_of_several_processes_add_up_to_one(tmp_path: Path, processes: int) -> None:
    options = Evaluation(data="tiny", embedder="tiny", clips=7, metrics="FAD,KAD,tiny level,output change (mix muted)")
    plan = make_plan(options, playing=True)
    results = []
    for count in (1, processes):
        folder = tmp_path / str(count)
        source = SystemSource("tiny tone", {}, plan.clips, folder, load_system("tiny-tone"), 3)
        store = ClipRowStore(folder)
        for process in reversed(range(count)):
            play_clips(plan, source, store, Share(process, count))
            measure_clips(plan, source, store, Share(process, count))
            measure_clips(plan, source, store, Share(process, count), probe=True)
        assert len(list(folder.glob("clips.*.jsonl"))) == count
        results.append(summarise(plan, source, store, RowStore(folder / "rows.jsonl")))
    for one, many in zip(*results, strict=True):
        assert (one.metric, one.clips, one.key) == (many.metric, many.clips, many.key)
        assert one.value == pytest.approx(many.value, rel=1e-9)


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path) -> None:
    data = open_clip_set("tiny")
    options = Evaluation(data="tiny", embedder="tiny", clips=7, metrics="tiny level")
    plan = make_plan(options, playing=True)
    peaks = []
    for times in (1, 6):
        entries = tuple(
            dataclasses.replace(entry, name=f"{entry.name}-{k}", key=f"{entry.key} {k}")
            for k in range(times)
            for entry in data.clips[:6]
        )
        clips = dataclasses.replace(plan.clips, entries=entries, partners=partners(entries, 0))
        wide = dataclasses.replace(plan, clips=clips, batch_size=3, probes=())
        folder = tmp_path / str(times)
        source = SystemSource("tiny tone", {}, clips, folder, load_system("tiny-tone"), 3)
        tracemalloc.start()
        play_clips(wide, source, ClipRowStore(folder), Share())
        measure_clips(wide, source, ClipRowStore(folder), Share())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_partners_stay_when_more_clips_are_scored() -> None:
    entries = open_clip_set("tiny").clips
    for seed in (0, 1, 2):
        few, many = partners(entries[:6], seed), partners(entries[:7], seed)
        assert sorted(few) == list(range(6)) and all(i != partner for i, partner in enumerate(few))
        if seed == 0:
            assert few[:-1] == many[: len(few) - 1]


def test_clips_of_one_song_count_as_one_song(tmp_path: Path) -> None:
    clips = open_clip_set("tiny").clips
    entries = [dataclasses.replace(clip, song=f"song{i // 2}") for i, clip in enumerate(clips[:6])]
    partner = partners(entries, 0)
    assert all(entries[i].song != entries[partner[i]].song for i in range(6))
    assert sorted(partner) == list(range(6))


def test_scored_and_reference_clips_share_no_song() -> None:
    data = open_clip_set("tiny")
    twice = tuple(ClipEntry(f"{c.name}b", c.song, f"{c.key}b", c.load) for c in data.clips[:3])
    divided = parts(dataclasses.replace(data, clips=(*data.clips, *twice)), 5, None)
    assert not {c.song for c in divided.evaluated} & {c.song for c in divided.reference}
    assert len(divided.reference) == 9


def test_a_failing_metric_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The style metrics embed with MusiCNN, which needs 3 s; the clips have 2 s."""
    main([*arguments(tmp_path / "out", metrics="style cosine distance,tiny level"), "--style", "own"])
    rows = RowStore(tmp_path / "out" / "rows.jsonl").rows()
    assert {r.system for r in rows if r.metric == "style cosine distance"} == {"silence"}  # NaN before it is embedded
    assert row(rows, "tiny level").clips == 7
    assert "metric 'style cosine distance' failed" in capsys.readouterr().err


def test_clips_too_short_for_the_match_leave_it_and_its_probes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probes = "match drop (mix muted),output change (mix muted)"
    with installed(PLUGIN):
        rows = run(tmp_path / "out", metrics=f"match,{probes},tiny level", clips=2)
    assert {row.metric for row in rows} == {"passes the gate", "tiny level", "output change (mix muted)"}
    assert "at least 5 s are needed to judge a match); it is left out" in capsys.readouterr().err


def test_tables_have_units_and_all_intervals_and_keep_to_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = RowStore(folder / "rows.jsonl").rows()
    wide = terminal_board(rows, "tiny tone", all_measures()).splitlines()
    assert wide[0].split()[:3] == ["metric", "unit", "better"]
    (level,) = [line for line in wide if line.startswith("tiny level")]
    assert level.split()[2:5] == ["dB", "as", "real"]
    assert level.count("[") == sum(row.metric == "tiny level" and np.isfinite(row.low) for row in rows) > 2
    assert "| tiny level" in (shown := markdown_board(rows, "tiny tone", all_measures())) and "| dB" in shown
    monkeypatch.setenv("COLUMNS", "100")
    narrow = terminal_board(rows, "tiny tone", all_measures()).splitlines()
    assert max(map(len, narrow)) <= 100 < max(map(len, wide))
    assert len(narrow) > len(wide) and sum("silence" in line for line in narrow) == 1


def test_a_damaged_clip_row_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder, tmp_path / "out")
    path = tmp_path / "out" / "clips.0.jsonl"
    path.write_text("not json\n" + path.read_text())
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "out")
    assert "clips.0.jsonl, line 1" in capsys.readouterr().err


def test_the_config_says_what_was_scored(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["system"] == "tiny tone" and config["spec"] == "tiny-tone"
    assert len(config["clips"]) == 7 and len(config["reference"]) == 7


LOUD = """
import numpy as np
class Loud:
    name, sample_rate = "loud", 44100
    def __init__(self, gain=8.0): self.gain = gain
    def accompany(self, mix, *, style=None, seeds): return (self.gain * mix).astype(np.float32)
"""


def _play(system: Path, output: Path, *more: str) -> float:
    """What a run of a file's class says of the level."""
    shared = ["--data", "tiny", "--clips", "7", "--metrics", "tiny level", "--output", str(output)]
    main(["run", f"{system}:Loud", *more, *shared])
    return row(RowStore(output / "rows.jsonl").rows(), "tiny level", "loud").value


def test_what_is_beyond_full_scale_is_kept_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    played = _play(tmp_path / "loud.py", tmp_path / "run")
    said = capsys.readouterr().err
    peaks = {path.stem: np.abs(soundfile.read(path)[0]).max() for path in (tmp_path / "run" / "audio").iterdir()}
    worst = max(peaks, key=lambda name: peaks[name])
    assert peaks[worst] > 1.5 and f"to a peak of {peaks[worst]:.2f} on {worst}" in said
    assert said.count("full scale") == 1
    shared = ["--data", "tiny", "--clips", "7", "--metrics", "tiny level", "--output", str(tmp_path / "scored")]
    main(["score", str(tmp_path / "run" / "audio"), *shared])
    assert row(RowStore(tmp_path / "scored" / "rows.jsonl").rows(), "tiny level", "audio").value == played


def test_a_system_whose_source_changed_plays_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "loud.py", tmp_path / "run"
    source.write_text(LOUD)
    before = _play(source, out)
    assert "earlier run" not in capsys.readouterr().err
    assert _play(source, out) == before
    assert "7 of 7 clips from an earlier run of 'loud'; --fresh plays anew" in capsys.readouterr().err
    source.write_text(LOUD.replace("self.gain * mix", "self.gain * mix / 2"))
    assert _play(source, out) == pytest.approx(before - 6.02, abs=0.01)
    assert "7 of 7 clips are played anew: 'loud' has changed" in capsys.readouterr().err


def test_fresh_plays_what_only_the_system_knows_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "loud.py", tmp_path / "run"
    source.write_text(LOUD.replace("self.gain * mix", "float(__import__('os').environ['GAIN']) * mix"))
    monkeypatch.setenv("GAIN", "0.5")
    before = _play(source, out)
    monkeypatch.setenv("GAIN", "0.05")
    assert _play(source, out) == before
    assert _play(source, out, "--fresh") == pytest.approx(before - 20, abs=0.01)


def test_a_damaged_line_in_the_cache_is_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    expected = numbers(run(tmp_path / "one", metrics="tiny level"))
    files = sorted((tmp_path / "cache" / "anchors").rglob("*.jsonl"))
    assert {file.name for file in files} == {"clips.0.jsonl", "rows.jsonl"}
    for file in files:
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([b'{"clip": "c1", "val\n', *lines[1:]]))
    assert numbers(run(tmp_path / "two", metrics="tiny level")) == expected


def test_a_second_run_in_the_same_folder_is_told_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone_in(tmp_path / "out"), pytest.raises(SystemExit, match="2"):
        run(tmp_path / "out")
    assert "another run" in capsys.readouterr().err and not (tmp_path / "out").exists()
