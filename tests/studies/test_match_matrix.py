"""The match matrix: its statistics against known answers, and the whole study on tiny random weights."""

from pathlib import Path

import numpy as np
import pytest
from tiny_studies import MATCHER

from bassbench.errors import BadInputError
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Song
from experiments import match_matrix
from experiments.match_matrix import MatchMatrix, matrix_scores, permutation_p, soft_assignment

SAMPLES = 60 * 4096


def test_soft_assignment() -> None:
    matrix = soft_assignment(np.array([[0.5, 0.5], [1.0, 0.0]]), 2.0)
    assert matrix == pytest.approx(np.array([[0.5, 0.5], [np.e**2 / (1 + np.e**2), 1 / (1 + np.e**2)]]))
    assert soft_assignment(np.array([[1.0, -1.0]]), 1e6).tolist() == [[1.0, 0.0]]


def test_permutation_p_of_a_perfect_match_and_of_chance() -> None:
    generator = np.random.default_rng(0)
    assert permutation_p(np.eye(8), generator, permutations=500) < 0.01
    assert permutation_p(np.full((8, 8), 1 / 8), generator, permutations=500) == 1.0
    assert permutation_p(np.eye(8)[::-1], generator, permutations=500) > 0.2
    # Of the six pairings of three, only the pairing at hand reaches the trace of a perfect match.
    assert permutation_p(np.eye(3), generator, permutations=6000) == pytest.approx(1 / 6, abs=0.02)


def test_scores_of_a_perfect_matrix() -> None:
    share, found, p_value = matrix_scores(np.eye(10), 0)
    assert share.value == found.value == 1 and p_value.value < 0.001 and np.isnan(p_value.low)


def test_a_run_writes_everything_and_a_second_computes_nothing(
    weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(3)]
    monkeypatch.setattr(match_matrix, "clip_requests", lambda split, count: requests[:count])
    config = MatchMatrix(
        clips=3,
        steps=2,
        cfg=(1.0, 3.0),
        weights=str(weights),
        matcher=weights / MATCHER,
        output=output,
        batch_size=2,
    )
    config.run()
    table = (output / "match_matrix.md").read_text()
    assert all(name in table for name in ("real bass, shuffled", "reference model", "diagonal share", "p-value"))
    assert len((output / "match_matrix.jsonl").read_text().splitlines()) == 12
    assert (output / "match_matrix.png").stat().st_size > 10_000
    assert "diagonal share" in capsys.readouterr().out

    written = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setattr(match_matrix, "score", None)
    config.run()
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == written
    for path in (output / "match_matrix").iterdir():
        path.unlink()
    with pytest.raises(BadInputError, match=r"move match_matrix\.jsonl away"):
        config.run()


@pytest.mark.parametrize("changes", [{"clips": 1}, {"batch_size": 0}, {"steps": 0}, {"phi": 2.0}])
def test_impossible_settings_are_refused(changes: dict) -> None:
    with pytest.raises(BadInputError):
        MatchMatrix(**changes).validate()
