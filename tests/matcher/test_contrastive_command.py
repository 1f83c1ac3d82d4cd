"""`python -m contrastive.train` from its command line: folders of stems in published layouts, and bad options."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from stem_trees import RATE, write

from contrastive import score
from contrastive.encoder import Matcher
from contrastive.train import main

SECONDS = 25.0  # a window is 23.8 s


def _melody(generator: np.random.Generator, octave: int) -> np.ndarray:
    """`(samples, 2)`: a note every quarter of a second."""
    hertz = octave * 55.0 * 2 ** (generator.integers(0, 12, round(4 * SECONDS)) / 12)
    phase = 2 * np.pi * np.cumsum(np.repeat(hertz, RATE // 4)) / RATE
    return np.repeat(0.1 * np.sin(phase)[:, None], 2, axis=1)


def _musdb(root: Path) -> Path:
    for number, track in enumerate(("train/A - One", "train/B - Two", "train/C - Three", "test/D - Four")):
        generator = np.random.default_rng(number)
        octaves = {"bass": 1, "other": 4, "drums": 8, "vocals": 6}
        stems = {name: _melody(generator, octave) for name, octave in octaves.items()}
        for name, audio in {**stems, "mixture": sum(stems.values())}.items():
            write(root / track / f"{name}.wav", audio, subtype="PCM_16")
    return root


def _folders(root: Path) -> Path:
    for number in range(3):
        generator = np.random.default_rng(number)
        for name, octave in {"bass": 1, "guitar": 4}.items():
            write(root / f"track {number}" / f"{name}.wav", _melody(generator, octave))
    return root


def _command(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--preset", "tiny", "--device", "cpu", *map(str, options)])
    main()


@pytest.mark.parametrize("layout", [_musdb, _folders])
def test_any_dataset_of_the_suite_trains(layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASSBENCH_CACHE", str(tmp_path / "cache"))
    data, run = layout(tmp_path / "data"), tmp_path / "run"
    options = ("--data", data, "--validation-data", data, "--run", run, "--steps", 2, "--batch-size", 2)
    _command(monkeypatch, *options, "--processes", 1, "--log-every", 1, "--checkpoint-every", 2, "--seconds", 5)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 2] and np.isfinite(rows[1]["loss"]) and 0 <= rows[2]["r_at_1"] <= 1
    matcher = Matcher.from_pretrained(run / "matcher.safetensors")
    clip = _melody(np.random.default_rng(9), 2).T
    assert np.isfinite(score([clip], [clip], matcher=matcher)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "human"), "testing only"),
        (("--data", "no such folder"), "no such folder"),
        (("--validation-songs", "1"), "at least 2"),
    ],
)
def test_bad_options_end_with_one_line(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as end:
        _command(monkeypatch, "--run", tmp_path / "run", *options)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
