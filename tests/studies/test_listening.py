"""The chord study on tiny random weights: rows, report, resuming; and its scores on basses that are known."""

from pathlib import Path

import numpy as np
import pytest

from bassbench.errors import BadInputError
from bassbench.hearing.pitch import PitchTrack
from bassbench.results.rows import RowStore
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Chord, Song
from experiments import listening
from experiments.listening import GAIN, GATE, OWN, SHARE, SWAPPED, VOICED, HeardBass, Listening
from reference_model.pipeline import BassAccompaniment

SAMPLES = 32 * 4096


@pytest.fixture(autouse=True)
def _made_songs(song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(4)]
    monkeypatch.setattr(listening, "clip_requests", lambda split, count: requests[:count])


def test_a_run_writes_everything_and_a_second_computes_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Listening(
        clips=3,
        cfg=(1.0, 2.0),
        temperatures=(0.5,),
        steps=2,
        weights=str(weights),
        output=tmp_path / "out",
        batch_size=2,
    )
    config.run()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"listening.{kind}" for kind in ("csv", "jsonl", "md", "png")
    ]
    rows = RowStore(tmp_path / "out" / "listening.jsonl").rows()
    cool = [row for row in rows if "temperature" in row.setting]
    assert len(cool) == 5 and {row.setting["temperature"] for row in cool} == {0.5}
    assert {row.setting["cfg"] for row in cool} == {2.0}
    rows = [row for row in rows if row not in cool]
    by_cell = {(row.system, row.setting.get("cfg"), row.metric): row.value for row in rows}
    assert len(by_cell) == len(rows) == 7 * 3 + 2 * 5
    # The made songs share their chords up to a transposition; their bass plays roots only.
    assert by_cell["real bass", None, SHARE] > 0.9
    assert by_cell["up a semitone", None, SHARE] < 0.1
    assert by_cell["silence", None, SHARE] == by_cell["silence", None, GATE] == by_cell["noise", None, VOICED] == 0
    for cfg in (1.0, 2.0):
        gain = by_cell[OWN, cfg, SHARE] - by_cell[SWAPPED, cfg, SHARE]
        assert by_cell[OWN, cfg, GAIN] == pytest.approx(gain)
    assert "real bass through the codec" in capsys.readouterr().out

    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(BassAccompaniment, "accompany", None)
    monkeypatch.setattr(listening, "cached_clip", None)
    config.run()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == written


def heard(pitch: int, chord: tuple[int, ...]) -> HeardBass:
    count = 50
    f0 = np.full(count, 440 * 2 ** ((pitch - 69) / 12))
    track = PitchTrack(np.arange(count) * 0.02, f0, np.full(count, pitch > 0), np.ones(count))
    return HeardBass((Chord(0.0, 1.0, "", chord[0], chord),), track, pitch > 0)


def test_scores_of_a_bass_that_listens_and_of_one_that_does_not() -> None:
    listens = [heard(36, (0, 4, 7)), heard(38, (2, 5, 9)), heard(40, (4, 8, 11)), heard(0, (0, 4, 7))]
    own, voiced, passed = listening.own_scores(listens, 0)
    assert (own.value, voiced.value, passed.value) == (0.75, 0.75, 0.75)
    gain, swapped = listening.swapped_scores(listens[:3], np.array([1, 2, 0]), 0)
    # Of D over C, E over D minor and C over E none is a chord tone.
    assert (gain.value, swapped.value) == (1.0, 0.0)
    deaf = [heard(36, (0, 4, 7)), heard(36, (2, 5, 9))]
    gain, swapped = listening.swapped_scores(deaf, np.array([1, 0]), 0)
    assert (gain.value, swapped.value) == (0.0, 0.5)
    assert gain.low <= 0 <= gain.high


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": 1},
        {"cfg": ()},
        {"cfg": (0.0,)},
        {"cfg": (2.0, 2.0)},
        {"temperatures": (1.0,)},
        {"temperatures": (0.0,)},
        {"steps": 0},
        {"phi": 2.0},
        {"batch_size": 0},
    ],
)
def test_what_cannot_be_measured_is_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(BadInputError):
        Listening(**{"output": tmp_path / "out", **wrong}).run()
    assert not (tmp_path / "out").exists()
