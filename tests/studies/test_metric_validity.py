"""Metric validity: what each damage does, separation against known answers, and the whole study on tiny weights."""

from pathlib import Path

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Song
from experiments import metric_validity
from experiments.metric_validity import PURPOSE, MetricValidity, separation
from experiments.perturbations import CONTROL, graded_perturbations, style_clip

SAMPLES = 60 * 4096


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def test_damages_do_what_they_say(song: Song) -> None:
    clip, other = (cached_clip(ClipRequest(song, seed, SAMPLES)) for seed in (0, 1))
    ways = graded_perturbations()
    made = {name: way(clip, other, 0) for name, way in ways.items()}
    assert all(bass.shape == clip.bass.shape and bass.dtype == np.float32 for bass in made.values())
    assert all(np.isfinite(bass).all() for bass in made.values())
    for name, bass in made.items():
        assert name == "silence" or not np.array_equal(bass, clip.bass)
    for decibels in (40, 20, 10, 0):
        noise = made[f"noise, SNR {decibels} dB"] - clip.bass
        assert 20 * np.log10(rms(clip.bass) / rms(noise)) == pytest.approx(decibels, abs=0.1)
    assert np.array_equal(made["late by 1 beat"], np.roll(clip.bass, 22050, axis=1))
    assert np.abs(made["clipped by 24 dB"]).max() == 1.0
    assert not made["silence"].any() and not made["second half silent"][:, SAMPLES // 2 :].any()
    assert rms(made["6 dB quieter"]) == pytest.approx(rms(clip.bass) / 2, rel=0.01)
    # Played again, the same notes sound at the same level.
    assert rms(made[CONTROL]) == pytest.approx(rms(clip.bass), rel=0.1)
    assert style_clip(clip, other).shape == clip.bass.shape


def test_separation_of_known_scores() -> None:
    low, high = np.arange(10.0), np.arange(10.0) + 20
    for real, damaged, direction, expected in (
        (high, low, "higher", 1.0),
        (high, low, "lower", 0.0),
        (low, low, "lower", 0.5),
        (low, low + 100, "real", 1.0),
        (low, np.full(10, low.mean()), "real", 0.0),
    ):
        pooled, paired = separation(real, damaged, direction, 0)
        assert pooled.value == pytest.approx(expected, abs=0.06) and paired.value == pytest.approx(expected, abs=0.11)
        assert pooled.low <= pooled.value <= pooled.high
    nothing = separation(high, np.where(low < 4, low, np.nan), "higher", 0)
    assert all(np.isnan(each.value) for each in nothing)
    some, _ = separation(high, np.where(low < 5, low, np.nan), "higher", 0)
    assert some.value == 1


def test_a_run_writes_everything_and_a_second_computes_nothing(
    weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(8)]
    monkeypatch.setattr(metric_validity, "clip_requests", lambda split: requests)
    monkeypatch.setattr(metric_validity, "MIN_SONGS", 2)
    kept = ("silence", "6 dB quieter", "noise, SNR 10 dB", "codec")
    monkeypatch.setattr(
        metric_validity,
        "graded_perturbations",
        lambda codec: {name: graded_perturbations(codec)[name] for name in kept if name in graded_perturbations(codec)},
    )
    config = MetricValidity(
        test=4,
        human=2,
        reference_clips=2,
        group=2,
        metrics="loudness against the real bass, level drift, KAD",
        weights=str(weights),
        output=output,
        embedder="log-mel",
        pair_embedder="log-mel",
        processes=1,
        device="cpu",
    )
    config.run()
    table = (output / "metric_validity.md").read_text()
    assert "loudness against the real bass" in table and "6 dB quieter" in table and "KAD" in table
    assert len((output / "metric_validity.jsonl").read_text().splitlines()) == 2 * 3 * 4 * 2
    assert (output / "metric_validity.png").stat().st_size > 10_000
    assert "own bass better" in capsys.readouterr().out

    written = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setattr(metric_validity.PerturbedClips, "measure", None)
    config.run()
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == written
    # The rows lost, the clips' values still are not measured again.
    (output / "metric_validity.jsonl").unlink()
    config.run()
    assert (output / "metric_validity.jsonl").exists()


def test_every_purpose_names_a_damage() -> None:
    names = {*graded_perturbations(lambda audio: audio)}
    assert all(set(purpose) <= names for purpose in PURPOSE.values())


@pytest.mark.parametrize("changes", [{"test": 1}, {"processes": 0}, {"reference_clips": 3}, {"metrics": "x"}])
def test_impossible_settings_are_refused(changes: dict) -> None:
    with pytest.raises(BadInputError):
        MetricValidity(**changes).validate()
