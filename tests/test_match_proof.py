"""The proof of the matcher: its statistics against known answers, and the whole study on a song that needs no bank."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from bassbench.bad_input import BadInputError
from bassbench.datasets import ClipRequest, cached_clip
from bassbench.song_bank import Song
from contrastive.config import MATCHERS
from contrastive.encoder import Matcher
from experiments import match_proof
from experiments.match_figure import proof_figure
from experiments.match_listeners import CorrelationListener, MatcherListener
from experiments.match_proof import (
    AUC,
    MatchProof,
    auc_interval,
    columns,
    damage_names,
    damages,
    expected_retrieval,
    study,
)

SAMPLES = 6 * 44_100


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    torch.manual_seed(0)
    return Matcher(MATCHERS["tiny"]).eval()


def test_expected_retrieval_is_what_drawing_gives() -> None:
    rank = np.array([1, 2, 5, 40])
    hit, reciprocal = expected_retrieval(rank, 40, 10)
    generator = np.random.default_rng(0)
    for i, better in enumerate(rank - 1):
        drawn = [(generator.permutation(39)[:9] < better).sum() for _ in range(4000)]
        assert hit[i] == pytest.approx(np.mean(np.array(drawn) == 0), abs=0.03)
        assert reciprocal[i] == pytest.approx(np.mean(1 / (1 + np.array(drawn))), abs=0.03)
    everyone = expected_retrieval(rank, 40, 40)
    assert everyone[0].tolist() == [1, 0, 0, 0] and everyone[1].tolist() == [1, 1 / 2, 1 / 5, 1 / 40]


def test_auc_equals_the_rank_statistic() -> None:
    generator = np.random.default_rng(0)
    own, against = generator.normal(1, 1, 30).round(1), generator.normal(0, 1, 30).round(1)
    result = auc_interval(own, against, np.random.default_rng(0))
    assert result.value == pytest.approx(mannwhitneyu(own, against).statistic / 900)
    assert result.low < result.value < result.high
    scores = generator.normal(0, 1, (30, 30)).round(1)
    np.fill_diagonal(scores, own)
    others = scores[~np.eye(30, dtype=bool)]
    matrix = auc_interval(own, scores, np.random.default_rng(0))
    assert matrix.value == pytest.approx(mannwhitneyu(own, others).statistic / (30 * len(others)))


def test_damages_do_what_their_names_say(song: Song) -> None:
    clip = cached_clip(ClipRequest(song, 0, SAMPLES))
    chroma = CorrelationListener("chroma")
    strongest = chroma.hear(clip.bass).mean(axis=1).argmax()
    ways = damages()
    assert list(ways) == damage_names()
    moved = chroma.hear(ways["transposed by +3"](clip, 0)).mean(axis=1).argmax()
    assert moved == (strongest + 3) % 12
    assert np.array_equal(ways["late by 1 beats"](clip, 0), np.roll(clip.bass, 22_050, axis=1))
    assert np.array_equal(ways["other section"](clip, 0), np.roll(clip.bass, -2 * 88_200, axis=1))
    assert not ways["silence"](clip, 0).any() and ways["noise"](clip, 0).any()


@pytest.mark.parametrize("kind", ["chroma", "onset"])
def test_correlations(kind: str, song: Song) -> None:
    listener = CorrelationListener(kind)
    clip = cached_clip(ClipRequest(song, 0, SAMPLES))
    heard = listener.hear(clip.bass)
    other = np.random.default_rng(0).random(heard.shape)
    scores = listener.compare([heard, other], [2 * heard, 0 * heard])
    assert scores[0] == pytest.approx([1.0, 0.0]) and abs(scores[1, 0]) < 0.5
    moved = listener.move(heard, 10.0, 1.0, 2 if kind == "chroma" else 0, 50)
    expected = np.roll(heard, 2, axis=0) if kind == "chroma" else heard
    assert np.array_equal(moved, expected[:, 10:60])


def test_the_matcher_hears_a_moved_clip_as_a_moved_view(matcher: Matcher) -> None:
    listener = MatcherListener(matcher)
    config = matcher.config.features
    heard = np.random.default_rng(0).integers(0, 256, (config.bins, 300)).astype(np.uint8)
    assert np.array_equal(listener.move(heard, 5.0, 1.0, 0, 200)[config.pitched :], heard[config.pitched :, 5:205])
    room = config.room * config.bins_per_semitone
    moved = listener.move(heard, 0.0, 1.0, 2, 300)[room : room + config.view]
    step = 2 * config.bins_per_semitone
    assert np.array_equal(moved, heard[room - step : room - step + config.view])


def test_the_study_measures_everything_once(
    song: Song, matcher: Matcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SEMITONES": (1,), "SHIFTS": (0.5, 2.0), "RESAMPLES": 50}.items():
        monkeypatch.setattr(match_proof, name, value)
    config = MatchProof(test=3, human=2, output=tmp_path, processes=1)
    requests = {
        "test": [ClipRequest(replace(song, name=f"made {i}"), 0, SAMPLES) for i in range(3)],
        "human": [ClipRequest(replace(song, name=f"played {i}"), 0, SAMPLES) for i in range(2)],
    }
    rows = study(config, matcher, requests)
    assert len(rows) == 3 * sum(len(list(columns(split, len(chosen)))) for split, chosen in requests.items())
    assert all(0 <= row.value <= 1 for row in rows)
    silent = [row for row in rows if row.setting["against"] == "silence" and row.system == "contrastive matcher"]
    assert all(row.value == 1 for row in silent)
    before = (tmp_path / "match_proof.jsonl").read_bytes()
    assert study(config, matcher, requests) == rows
    assert (tmp_path / "match_proof.jsonl").read_bytes() == before
    proof_figure(tmp_path / "figure.png", [row for row in rows if row.metric == AUC])
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_too_few_songs_are_refused() -> None:
    with pytest.raises(BadInputError, match="at least 2 songs"):
        MatchProof(test=1).validate()
