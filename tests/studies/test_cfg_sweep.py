"""The guidance sweep on tiny random weights: rows, report, resuming, paired differences; and what it says of rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_studies import SAMPLES, few_clips, made_row, use_made_songs

from bassbench.embedders import cache as embedding_cache
from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.results.rows import Row, RowStore
from bassbench.songs.clips import cached_clip
from bassbench.songs.song_bank import Song
from bassbench.suite.anchors import REAL, real
from experiments import playing, studies
from experiments.cfg_sweep import DIFFERENCE, STUDY, SYSTEM, CFGSweep, cells, findings, rescale_text
from experiments.player import Player
from experiments.playing import CHORDS, CLIPPING, COLLAPSED, FAD, LEVEL, MATCH
from reference_model import codec
from reference_model.pipeline import BassAccompaniment, Sampling


@pytest.fixture
def config(weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CFGSweep:
    use_made_songs(song, monkeypatch)
    return CFGSweep(
        cfg=(0.0, 1.0, 3.0),
        phi=(0.0, 1.0),
        steps=2,
        **few_clips(weights, tmp_path / "out"),
    )


def by_cell(folder: Path) -> dict[tuple[str, float | None, float | None, str], float]:
    rows = RowStore(folder / "cfg_sweep.jsonl").rows()
    found = {(r.system, r.setting.get("cfg"), r.setting.get("phi"), r.metric): r.value for r in rows}
    assert len(found) == len(rows)
    return found


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: CFGSweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.run()
    kinds = [f"cfg_sweep.{kind}" for kind in ("csv", "jsonl", "md", "png")]
    assert sorted(path.name for path in config.output.iterdir()) == kinds
    found = by_cell(config.output)
    assert len(found) == 7 * 6 + 3 * 6 + 7
    real, silence = (
        {m: found[name, None, None, m] for m in (FAD, LEVEL, CHORDS, MATCH, CLIPPING, COLLAPSED)}
        for name in ("real bass", "silence")
    )
    assert real[FAD] < silence[FAD] and real[CHORDS] > 0.9 > silence[CHORDS] == 0
    assert (real[LEVEL], silence[LEVEL]) == (0, -60) and silence[MATCH] == -1
    assert (real[COLLAPSED], silence[COLLAPSED]) == (0, 1)
    difference = found[SYSTEM, 3.0, 1.0, FAD] - found[SYSTEM, 3.0, 0.0, FAD]
    assert found[SYSTEM, 3.0, 1.0, DIFFERENCE] == pytest.approx(difference)
    report = (config.output / "cfg_sweep.md").read_text()
    assert "The paper finds rescaled guidance better" in report and "The paper finds" in capsys.readouterr().out

    written = {path.name: path.read_bytes() for path in config.output.iterdir()}
    for module, name in ((BassAccompaniment, "generate_latents"), (playing, "cached_clip"), (playing, "fad")):
        monkeypatch.setattr(module, name, None)
    config.run()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == written


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same_without_its_cache(
    config: CFGSweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, cfg=(3.0,))
    monkeypatch.setattr(playing, "anchors", lambda codec: {REAL: real})
    config.run()
    cut = dataclasses.replace(config, output=tmp_path / "cut")
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    sample, asked = BassAccompaniment.generate_latents, []

    def stops(self: BassAccompaniment, *args: object, **options: Sampling) -> object:
        asked.append(options["sampling"].phi)
        if len(asked) == 4:  # the second batch at phi 1
            raise KeyboardInterrupt
        return sample(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(BassAccompaniment, "generate_latents", stops)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert asked == [0, 0, 1, 1] and not (cut.output / "cfg_sweep.md").exists()
    # What the model played at phi 0 is played again, a clip at a time, for the paired difference.
    monkeypatch.setattr(embedding_cache, "_read", lambda path: None)
    cut.run()
    assert by_cell(cut.output) == pytest.approx(by_cell(config.output), rel=1e-4)


def test_the_player_pairs_noise_and_does_not_depend_on_the_batch(config: CFGSweep, weights: Path) -> None:
    model = dataclasses.replace(studies.load_model(str(weights), "cpu"), bfloat16=False)
    requests = tuple(playing.split_songs(4, 5)[1])
    sampling = Sampling(steps=2)
    one, many = ([take.audio for take in Player(model, requests, 0, size).basses(sampling)] for size in (1, 4))
    assert [audio.shape for audio in one] == [(2, SAMPLES)] * 4
    for first, second in zip(one, many, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    player = Player(model, requests, 0, 4)
    np.testing.assert_allclose(player.bass(2, sampling), one[2], atol=1e-4)
    assert not np.allclose(Player(model, requests, 1, 4).bass(2, sampling), one[2], atol=1e-3)
    assert len({player.key(i, Sampling(steps=s)) for i in range(4) for s in (2, 3)}) == 8


def test_where_there_is_nothing_to_rescale_there_is_one_cell() -> None:
    assert cells((3, 0, 1), (0.5, 0)) == [(0, 0), (1, 0), (3, 0), (3, 0.5)]


def differences(*intervals: tuple[float, float]) -> list[Row]:
    ends = enumerate(intervals, start=2)
    return [made_row(SYSTEM, DIFFERENCE, (a + b) / 2, a, b, cfg=float(w), phi=0.5) for w, (a, b) in ends]


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ([(-1, 1), (-2, 1), (-3, -1), (-9, -5)], "helps from weight 4 on (most at weight 5: FAD changes by -7.0"),
        ([(-3, -1), (-2, 1)], "helps at weight 2, not beyond"),
        ([(1, 3), (-3, -1)], "helps at weight 3, the highest tried"),
        ([(1, 3), (-3, -1)], "harms at 2"),
        ([(-1, 1)], "no certain difference"),
        ([(1, 2)], "helps at no weight and harms at 2"),
    ],
)
def test_from_which_weight_rescaling_helps(intervals: list[tuple[float, float]], said: str) -> None:
    assert said in rescale_text(0.5, differences(*intervals))


def test_findings_name_the_best_cell_and_the_collapsed_ones() -> None:
    rows = [made_row("real bass", FAD, 7, 6, 8), *differences((-3, -1))]
    for cfg, phi, distance, collapsed in ((1.0, 0.0, 30, 0), (2.0, 0.0, 25, 0.1), (2.0, 0.5, 20, 0.25)):
        rows.append(made_row(SYSTEM, FAD, distance, distance - 1, distance + 1, cfg=cfg, phi=phi))
        rows.append(made_row(SYSTEM, COLLAPSED, collapsed, 0, 1, cfg=cfg, phi=phi))
    said = findings(rows)
    assert "20.0 [19.0, 21.0], at weight 2 with phi 0.5 (real bass of other songs: 7.0" in said
    assert "2 of 3 cells, the first at weight 2; most at weight 2 with phi 0.5 (25%)" in said
    assert "No clip collapses" in findings([row for row in rows if row.metric != COLLAPSED])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 3}, "at least 4"),
        ({"clips": 6}, "has 10 songs"),
        ({"cfg": ()}, "--cfg"),
        ({"cfg": (2.0, 2.0)}, "--cfg"),
        ({"cfg": (-1.0,)}, "--cfg"),
        ({"phi": (0.5,)}, "must hold 0"),
        ({"phi": (0.0, 1.5)}, "phi"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "--batch-size"),
        ({"seed": -1}, "--seed"),
        ({"embedder": "nothing"}, "nothing"),
        ({"device": "abacus"}, "abacus"),
        ({"weights": "nothing"}, "nothing"),
        ({"matcher": Path("nothing")}, "nothing"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: CFGSweep, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
    assert not list(config.output.glob("*"))


def test_sizes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*given: str) -> CFGSweep:
        with exit_on_bad_input():
            return STUDY.from_command_line("", list(given))

    assert asked() == CFGSweep() and asked("--quick") == STUDY.quick and asked("--full") == STUDY.full
    assert asked("--quick", "--clips", "5") == dataclasses.replace(STUDY.quick, clips=5)
    for arguments in (["--quick", "--full"], ["--qui"], ["--clips", "many"]):
        with pytest.raises(SystemExit) as ended:
            asked(*arguments)
        assert ended.value.code == 2
    assert capsys.readouterr().err
    with pytest.raises(SystemExit):
        asked("--help")
    told = capsys.readouterr().out
    assert "--quick" in told and "minutes on two cores" in told and "--full" in told and "--no-full" not in told
    for size in (CFGSweep(), STUDY.quick, STUDY.full):
        size.validate()


def test_what_is_scored_is_what_accompany_returns_and_clipping_is_measured_before_it_is_limited(
    config: CFGSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, player = config.evaluator_and_player()
    decode_stream, loud = codec.decode_stream, 400
    monkeypatch.setattr(codec, "decode_stream", lambda *options: (loud * piece for piece in decode_stream(*options)))
    sampling = Sampling(steps=1)
    take = next(player.basses(sampling, of=[2]))
    mix = cached_clip(player.requests[2]).mix
    (expected,) = player.model.accompany(mix[None], seeds=[studies.clip_seed(0, 2)], sampling=sampling)
    np.testing.assert_array_equal(take.audio, expected)
    assert np.abs(take.audio).max() == pytest.approx(0.999) and take.excess > 2
    heard, limited = evaluator.hear(2, take.audio, excess=take.excess), evaluator.hear(2, take.audio)
    assert heard.clipping == pytest.approx(np.mean(np.abs(take.audio * take.excess) >= 0.999), abs=1e-6)
    assert heard.clipping > 10 * limited.clipping and heard.level == limited.level
