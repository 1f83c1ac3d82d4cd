"""The study of lengths on tiny random weights: medleys, rows, short trainings, resuming; and what it says of rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_studies import MATCHER, SAMPLES, made_row

from bassbench.errors import BadInputError
from bassbench.results.rows import Row, RowStore
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Chord, Song
from bassbench.suite.anchors import OTHER, REAL
from contrastive.encoder import Matcher
from experiments import length, studies
from experiments.length import (
    BIASLESS,
    CHORDS,
    CHORDS_CHANGE,
    MATCH,
    MATCH_CHANGE,
    SHIPPED,
    TRAINED,
    Length,
    any_length,
    findings,
    without_bias,
)
from experiments.medley import Medleys, within
from experiments.studies import NOT, NOT_MEASURED, PARTLY, REPRODUCED
from reference_model import train_diffusion
from reference_model.pipeline import BassAccompaniment
from reference_model.presets import PRESETS
from reference_model.unet import UNet

FRAMES = SAMPLES // 4096


@dataclasses.dataclass(frozen=True)
class Melodies:
    """Pairs made up in memory."""

    def example(self, generator: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
        return "melody", generator.standard_normal((16, 32)), generator.standard_normal((8, 32))


@pytest.fixture
def requests(song: Song) -> list[ClipRequest]:
    return [ClipRequest(song, seed, SAMPLES) for seed in range(3)]


@pytest.fixture
def config(weights: Path, requests: list[ClipRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Length:
    monkeypatch.setattr(length, "clip_requests", lambda split, count: requests[:count])
    monkeypatch.setattr(length, "song_latents", lambda *_, **__: Melodies())
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    return Length(
        clips=2,
        frames=(32, 64, 128),
        passage=32,
        positions=("dynamic", "absolute"),
        train_steps=4,
        train_frames=32,
        train_songs=2,
        train_preset="tiny",
        widths=(8, 12),
        steps=2,
        output=tmp_path / "out",
        runs=tmp_path / "runs",
        weights=str(weights),
        matcher=weights / MATCHER,
        batch_frames=128,
    )


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: Length, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config.run()
    kinds = [f"length.{kind}" for kind in ("csv", "jsonl", "md", "png")]
    assert sorted(path.name for path in config.output.iterdir()) == kinds
    rows = RowStore(config.output / "length.jsonl").rows()
    found = {(row.system, row.setting.get("frames"), row.setting.get("from"), row.metric): row for row in rows}
    # Two metrics: three lengths and two places of the longest; two lengths are not the one of training.
    assert len(found) == len(rows) == 2 * 2 + 4 * 2 * (3 + 2) + 4 * 2 * 2
    assert found[REAL, None, None, CHORDS].value > 0.9
    assert found[REAL, None, None, CHORDS].value >= found[OTHER, None, None, CHORDS].value
    for system, home in ((SHIPPED, 32), (BIASLESS, 32), (TRAINED["dynamic"], 32), (TRAINED["absolute"], 32)):
        for metric, change in ((CHORDS, CHORDS_CHANGE), (MATCH, MATCH_CHANGE)):
            gained = found[system, 128, None, metric].value - found[system, home, None, metric].value
            assert found[system, 128, None, change].value == pytest.approx(gained)
            parts = [found[system, 128, start, metric].value for start in (0, 64)]
            assert np.mean(parts) == pytest.approx(found[system, 128, None, metric].value)
    assert found[SHIPPED, 128, None, MATCH].value != found[BIASLESS, 128, None, MATCH].value
    assert {row.setting.get("weights") for row in rows if row.system == SHIPPED} == {
        studies.load_model(config.weights, "cpu").version
    }
    assert "The paper's dynamic positional bias" in capsys.readouterr().out

    written = {path.name: path.read_bytes() for path in config.output.iterdir()}
    for module, name in (
        (BassAccompaniment, "generate_latents"),
        (train_diffusion, "train"),
        (UNet, "from_pretrained"),
    ):
        if module is not UNet:
            monkeypatch.setattr(module, name, None)
    config.run()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == written


def test_a_run_that_was_cut_off_plays_no_medley_twice_and_trains_none(
    config: Length, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sample, asked = BassAccompaniment.generate_latents, []

    def stops(self: BassAccompaniment, mix: torch.Tensor, **options: object) -> torch.Tensor:
        asked.append(tuple(mix.shape))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return sample(self, mix, **options)  # type: ignore[arg-type]

    config = dataclasses.replace(config, positions=("none",))
    monkeypatch.setattr(BassAccompaniment, "generate_latents", stops)
    with pytest.raises(KeyboardInterrupt):
        config.run()
    config.run()
    # Four medleys of 32 frames, two of 64 and of 128, for three U-Nets, 128 frames at a time; one was tried twice.
    assert len(asked) == 3 * (1 + 1 + 2) + 1 and asked[0] == (4, 16, 32)
    (run,) = config.runs.iterdir()
    assert run.name.startswith("none-") and (run / "done").exists()
    assert UNet.from_pretrained(run / "unet.safetensors").config.positions == "none"

    monkeypatch.setattr(train_diffusion, "train", None)
    again = dataclasses.replace(config, output=tmp_path / "again")
    asked.clear()
    again.run()
    assert asked == []


def test_medleys_hold_every_song_equally_often_at_every_place(requests: list[ClipRequest], weights: Path) -> None:
    model, matcher = studies.load_model(str(weights), "cpu"), Matcher.from_pretrained(weights / MATCHER)
    medleys = Medleys(model, tuple(requests), matcher, 32)
    assert medleys.song_frames == FRAMES
    assert medleys.starts(128) == medleys.starts(64) == [0, 64, 128] and len(medleys.starts(32)) == 6
    whole = medleys.mixes([0], 3 * FRAMES).latent[0]
    alone = model.encode_mix(cached_clip(requests[1]).mix[None]).latent[0]
    torch.testing.assert_close(whole[:, FRAMES : 2 * FRAMES], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(medleys.mixes([128], 128).latent[0], torch.cat([whole[:, 128:], whole[:, :64]], dim=1))

    real = np.concatenate([cached_clip(requests[song]).bass for song in (2, 0)], axis=1)
    heard = medleys.hear(128, real)
    assert [(passage.song, passage.start) for passage in heard] == [(2, 0), (2, 32), (0, 64), (0, 96)]
    assert min(passage.chords for passage in heard) > 0.9
    reals = medleys.hear_real([0, 1, 2])
    assert [p.chords for p in heard] == pytest.approx([p.chords for p in (*reals[4:], *reals[:2])])
    places = [{p.song for s in medleys.starts(128) for p in medleys.hear(s, real) if p.start == at} for at in (0, 96)]
    assert places == [{0, 1, 2}] * 2


def test_chords_are_cut_to_the_passage() -> None:
    chords = [Chord(0.0, 2.0, "C", 0, (0, 4, 7)), Chord(2.0, 5.0, "F", 5, (5, 9, 0)), Chord(5.0, 6.0, "G", 7, (7,))]
    cut = within(chords, 1.0, 4.0)
    assert [(chord.symbol, chord.start, chord.end) for chord in cut] == [("C", 0.0, 1.0), ("F", 1.0, 3.0)]


def test_a_bias_that_is_taken_away_is_zero_and_the_rest_stays() -> None:
    unet = UNet(PRESETS["tiny"].unet)
    plain = without_bias(unet)
    changed = {n for n, p in plain.named_parameters() if not torch.equal(p, dict(unet.named_parameters())[n])}
    assert changed and all("bias.layers.4" in name for name in changed)
    assert all(not p.any() for n, p in plain.named_parameters() if n in changed)


def made_rows(dynamic: tuple[float, float], absolute: tuple[float, float]) -> list[Row]:
    rows = [made_row(REAL, CHORDS, 0.9, 0.8, 1.0), made_row(OTHER, CHORDS, 0.3, 0.2, 0.4)]
    for system, (low, high) in ((SHIPPED, dynamic), (TRAINED["dynamic"], dynamic), (TRAINED["absolute"], absolute)):
        change = (low + high) / 2
        rows += [
            made_row(system, CHORDS, 0.8, 0.7, 0.9, frames=256),
            made_row(system, CHORDS, 0.8 + change, 0.7, 0.9, frames=4096),
            made_row(system, CHORDS, 0.7, 0.6, 0.8, **{"frames": 4096, "from": 0}),
            made_row(system, CHORDS_CHANGE, change, low, high, frames=4096),
            made_row(system, MATCH_CHANGE, 0.0, -0.1, 0.1, frames=4096),
        ]
    return rows


def test_findings_and_the_verdict_follow_from_the_changes() -> None:
    said = findings(made_rows((-0.04, 0.02), (-0.5, -0.3)))
    assert f'"{SHIPPED}" goes from 0.80 to 0.79 (change -0.01 [-0.04, 0.02])' in said
    assert any_length(made_rows((-0.04, 0.02), (-0.5, -0.3))).word == REPRODUCED
    assert any_length(made_rows((-0.2, -0.1), (-0.5, -0.3))).word == PARTLY
    assert any_length(made_rows((-0.5, -0.3), (-0.5, -0.3))).word == NOT
    assert any_length([]).word == NOT_MEASURED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 1}, "at least 2"),
        ({"frames": (64,)}, "different lengths"),
        ({"frames": (32, 48)}, "multiples of --passage"),
        ({"positions": ("sideways",)}, "--positions"),
        ({"train_frames": 96}, "--train-frames"),
        ({"steps": 0}, "steps"),
        ({"frames": (24, 48), "passage": 24, "train_frames": 24}, "must divide the 64"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: Length, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
