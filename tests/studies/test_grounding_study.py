"""The grounding study on tiny random weights: rows, report, resuming; its anchors, classifier and ratios."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_studies import SAMPLES, few_clips, made_row, use_made_songs

from bassbench.errors import BadInputError
from bassbench.results.rows import RowStore
from bassbench.songs.arrangement import BASS_PROGRAMS
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Song
from experiments import playing, timbre
from experiments.grounding import (
    COSINE_RATIO,
    EUCLIDEAN_RATIO,
    GROUNDED,
    IDENTIFIED,
    MATCH_CHANGE,
    PLAIN,
    SOFTER,
    STUDY,
    Grounding,
    changes,
    findings,
)
from experiments.perturbations import played_by
from experiments.playing import FAD, LEVEL, MATCH
from experiments.styles import ANCHORS, CODEC, COSINE, DIFFERENT, EUCLIDEAN, SAME, other_program
from reference_model.pipeline import BassAccompaniment


@pytest.fixture
def config(weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grounding:
    use_made_songs(song, monkeypatch)
    songs = [dataclasses.replace(song, name=f"made {number}") for number in range(6)]  # other transpositions
    monkeypatch.setattr(timbre, "load_songs", lambda split: songs)
    monkeypatch.setattr(timbre, "SECONDS", 4.0)
    return Grounding(
        strength=(0.5,),
        exponent=(0.0,),
        steps=2,
        timbre_examples=48,
        **few_clips(weights, tmp_path / "out"),
    )


def test_a_run_writes_everything_and_a_second_computes_nothing(
    config: Grounding, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.run()
    kinds = [f"grounding.{kind}" for kind in ("csv", "jsonl", "md", "png")]
    assert sorted(path.name for path in config.output.iterdir()) == ["grounding", *kinds]
    rows = RowStore(config.output / "grounding.jsonl").rows()
    found = {(r.system, r.setting.get("strength"), r.setting.get("exponent"), r.metric): r.value for r in rows}
    assert len(found) == len(rows) == (5 + 1) * 9 + 4 * 12
    # The right notes in the right timbre are nearer to the style than in a wrong one, and the classifier hears it.
    assert found[SAME, None, None, COSINE] < found[DIFFERENT, None, None, COSINE]
    assert found[SAME, None, None, IDENTIFIED] >= 0.5 > found[DIFFERENT, None, None, IDENTIFIED]
    for metric, ratio in ((COSINE, COSINE_RATIO), (EUCLIDEAN, EUCLIDEAN_RATIO)):
        expected = found[GROUNDED, 1.0, 2.0, metric] / found[PLAIN, 0.0, 2.0, metric]
        assert found[GROUNDED, 1.0, 2.0, ratio] == pytest.approx(expected, abs=1e-3)
    change = found[GROUNDED, 1.0, 2.0, MATCH] - found[PLAIN, 0.0, 2.0, MATCH]
    assert found[GROUNDED, 1.0, 2.0, MATCH_CHANGE] == pytest.approx(change, abs=1e-4)
    assert found[GROUNDED, 1.0, 0.0, FAD] != found[GROUNDED, 1.0, 2.0, FAD] != found[GROUNDED, 0.5, 2.0, FAD]
    for metric in (LEVEL, COSINE):  # the style's level is not part of its timbre
        assert found[SOFTER, None, None, metric] == pytest.approx(found[GROUNDED, 1.0, 2.0, metric], abs=0.02)
    assert "0.269 grounded against 0.644 not" in (config.output / "grounding.md").read_text()
    assert "The paper finds (Table 1)" in capsys.readouterr().out

    written = {path: path.read_bytes() for path in config.output.rglob("*") if path.is_file()}
    assert len(written) == 4 + len(ANCHORS) + 5
    for module, name in ((BassAccompaniment, "generate_latents"), (playing, "cached_clip"), (playing, "fad")):
        monkeypatch.setattr(module, name, None)
    config.run()
    assert {path: path.read_bytes() for path in config.output.rglob("*") if path.is_file()} == written

    next((config.output / "grounding").iterdir()).unlink()
    with pytest.raises(BadInputError, match=r"move grounding\.jsonl away"):
        config.run()


def test_what_the_clips_gave_is_on_disk_before_the_rows(
    config: Grounding, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stops(self: object, **options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(BassAccompaniment, "generate_latents", lambda self, mix, **options: stops(self))
    with pytest.raises(KeyboardInterrupt):
        config.run()
    files = list((config.output / "grounding").iterdir())
    assert len(files) == len(ANCHORS) and not (config.output / "grounding.md").exists()
    assert all(len(json.loads(path.read_text())[COSINE]) == 4 for path in files)


def test_a_bass_played_again_by_its_own_program_is_itself(song: Song) -> None:
    clip = cached_clip(ClipRequest(song, 3, SAMPLES))
    again = played_by(clip.bass_program, clip)
    np.testing.assert_allclose(again, clip.bass, atol=0.02)
    other = played_by(other_program(clip.bass_program, 0), clip)
    assert np.corrcoef(other.ravel(), clip.bass.ravel())[0, 1] < 0.9
    assert {other_program(34, index) for index in range(7)} == set(BASS_PROGRAMS) - {34}


def test_changes_of_known_distances() -> None:
    plain = {COSINE: [0.4, 0.8], EUCLIDEAN: [1.0, 3.0], MATCH: [0.5, 0.3]}
    now = {COSINE: [0.1, 0.2], EUCLIDEAN: [1.0, 1.0], MATCH: [0.4, 0.2]}
    cosine, euclidean, match = changes(now, plain, 0)
    assert (cosine.value, euclidean.value, match.value) == pytest.approx((0.25, 0.5, -0.1))
    assert (cosine.low, cosine.high) == pytest.approx((0.25, 0.25))  # each clip's own ratio is the same: no spread
    assert euclidean.low == pytest.approx(1 / 3) and euclidean.high == pytest.approx(1.0)


def test_findings_compare_with_table_1() -> None:
    rows = [made_row(system, IDENTIFIED, 0.125, 0, 1) for system in (SAME, CODEC)]
    rows += [made_row(SAME, metric, 0.1, 0.1, 0.1) for metric in (COSINE, EUCLIDEAN)]
    for system, strength, cosine in ((PLAIN, 0.0, 0.6), (GROUNDED, 1.0, 0.2), (GROUNDED, 0.5, 0.3)):
        setting = {"strength": strength, "exponent": 2.0}
        values = {COSINE: cosine, EUCLIDEAN: 2 * cosine, IDENTIFIED: 1 - cosine, FAD: 20.0, LEVEL: -2.0}
        rows += [made_row(system, metric, value, value, value, **setting) for metric, value in values.items()]
    setting = {"strength": 1.0, "exponent": 2.0}
    rows.append(made_row(GROUNDED, COSINE_RATIO, 1 / 3, 0.3, 0.36, **setting))
    rows.append(made_row(GROUNDED, EUCLIDEAN_RATIO, 0.6, 0.4, 0.7, **setting))
    rows.append(made_row(GROUNDED, MATCH_CHANGE, -0.1, -0.2, -0.05, **setting))
    rows.append(made_row(SOFTER, LEVEL, -2.1, -3.0, -1.0))
    said = findings(rows)
    assert "12 dB softer move the level of the bass from -2.0 to -2.1 dB" in said
    assert "ratios of 0.42 and 0.49" in said
    assert "cosine distance is 0.200 against 0.600, a ratio of 0.33 [0.30, 0.36]: the paper's is reached." in said
    assert "0.60 [0.40, 0.70]: the paper's is not reached, within the interval" in said
    assert "recognised in 80% of the grounded basses and 40% of the others" in said
    assert "costs the match" in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clips": 3}, "at least 4"),
        ({"strength": (1.0,)}, "--strength"),
        ({"strength": (0.5, 0.5)}, "--strength"),
        ({"exponent": (2.0,)}, "--exponent"),
        ({"exponent": (-1.0,)}, "exponent takes"),
        ({"strength": (1.5,)}, "(strength|grounding) takes"),
        ({"timbre_examples": 8}, "--timbre-examples"),
        ({"batch_size": 0}, "--batch-size"),
    ],
)
def test_what_cannot_be_measured_is_refused(config: Grounding, wrong: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        dataclasses.replace(config, **wrong).run()
    assert not list(config.output.glob("*"))


@pytest.mark.parametrize("size", [Grounding(), STUDY.quick, STUDY.full])
def test_the_sizes_are_possible(size: Grounding) -> None:
    size.validate()
