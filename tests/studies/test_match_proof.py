"""The proof of the matcher: its statistics against known answers, and the whole study on a song that needs no bank."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from bassbench.cache import cache_folder
from bassbench.errors import BadInputError
from bassbench.metrics import statistics
from bassbench.metrics.statistics import auc_interval
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Song
from contrastive.config import MATCHERS
from contrastive.encoder import Matcher
from experiments import match_listeners, match_proof
from experiments.match_listeners import (
    About,
    ClipFeatures,
    CorrelationListener,
    MatcherListener,
    changes,
    hear_clip,
    misfits,
    same_notes,
)
from experiments.match_proof import (
    AUC,
    UNLIKE,
    UNLIKE_AUC,
    MatchProof,
    columns,
    expected_retrieval,
    proof_figure,
    results,
    study,
)

SAMPLES = 6 * 44_100


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    torch.manual_seed(0)
    return Matcher(MATCHERS["tiny"].sizes).eval()


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
    other = cached_clip(ClipRequest(replace(song, name="another"), 1, SAMPLES))
    sounds = {name: way(clip, other, 0) for name, way in (misfits() | changes()).items()}
    assert all(sound.shape == clip.bass.shape and np.isfinite(sound).all() for sound in sounds.values())
    moved = chroma.hear(sounds["transposed by +3"]).mean(axis=1).argmax()
    assert moved == (strongest + 3) % 12
    assert np.array_equal(sounds["late by 1 beats"], np.roll(clip.bass, 22_050, axis=1))
    assert np.array_equal(sounds["other section"], np.roll(clip.bass, -2 * 88_200, axis=1))
    assert not sounds["silence"].any() and sounds["noise"].any()
    leak = sounds["mix leaks in"] - clip.bass
    np.testing.assert_allclose(leak, 10 ** (-12 / 20) * clip.mix, atol=1e-6)
    np.testing.assert_allclose(sounds["other song, mix leaks in"] - leak, other.bass, atol=1e-6)
    for name in ("reverb", "other program", "low-pass 1000 Hz"):
        assert chroma.compare([chroma.hear(clip.bass)], [chroma.hear(sounds[name])])[0, 0] > 0.4, name


def test_notes_that_a_late_line_plays_again() -> None:
    onsets, pitches = np.arange(16) * 0.5, np.tile([40, 52, 43, 43], 4)
    assert same_notes(onsets, pitches, 2.0, 8.0) == 1.0  # a bar late
    assert same_notes(onsets, pitches, 0.5, 8.0) == 0.5  # 40 after 52 is the same pitch class
    assert same_notes(onsets, pitches, 0.25, 8.0) == 0.0
    assert same_notes(onsets, pitches, 2.04, 8.0) == 1.0 and same_notes(onsets, pitches, 2.06, 8.0) == 0.0
    assert same_notes(np.array([]), np.array([]), 1.0, 8.0) == 0.0


def test_what_was_heard_is_kept_and_healed(song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SEMITONES": (1,), "SHIFTS": (0.5,)}.items():
        monkeypatch.setattr(match_listeners, name, value)
    requests = ClipRequest(replace(song, name="kept"), 0, SAMPLES), ClipRequest(replace(song, name="next"), 0, SAMPLES)
    listeners = [CorrelationListener("onset"), CorrelationListener("chroma")]
    first, about = hear_clip(listeners, requests)
    files = sorted(cache_folder("match_proof").rglob("*.npz"))
    assert len(files) == 2 and list(about.same_late) == ["late by 0.5 beats"]
    before = files[1].stat().st_mtime_ns
    files[0].write_bytes(files[0].read_bytes()[:100])
    again, _ = hear_clip(listeners, requests)
    assert files[1].stat().st_mtime_ns == before
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.bass, other.bass) and one.others.keys() == other.others.keys()
        assert all(np.array_equal(one.others[name], heard) for name, heard in other.others.items())


def test_an_own_bass_that_was_changed_is_ranked_among_the_others() -> None:
    """A listener that hears one number, and finds things alike whose numbers are."""

    class Numbers(CorrelationListener):
        def compare(self, mixes: Sequence[np.ndarray], basses: Sequence[np.ndarray]) -> np.ndarray:
            return -np.abs(np.array(mixes)[:, :1] - np.array(basses)[None, :, 0])

    names = [*misfits(), *changes()]
    clips = []
    for i in range(3):
        others = {name: np.array([i + 0.3]) for name in names} | {"reverb": np.array([i + 5.0])}
        clips.append(ClipFeatures(np.array([float(i)]), np.array([float(i)]), others))
    abouts = [About(-1, 120.0, np.array([]), dict.fromkeys(misfits(), float(i == 0))) for i in range(3)]
    found = dict(zip(columns("human", 3), results("human", Numbers("onset"), clips, abouts, 0), strict=True))
    assert found["other songs, own: reverb", "R@1 of 3"].value == 0
    assert found["other songs, own: other program", "R@1 of 3"].value == 1
    assert found["late by 1 beats", UNLIKE].value == pytest.approx(2 / 3)
    assert found["late by 1 beats", UNLIKE_AUC].value == 1 == found["noise", "own bass above"].value


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
    for module, name, value in (
        (match_listeners, "SEMITONES", (1,)),
        (match_listeners, "SHIFTS", (0.5, 2.0)),
        (match_proof, "SHIFTS", (0.5, 2.0)),
        (statistics, "RESAMPLES", 50),
    ):
        monkeypatch.setattr(module, name, value)
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
    said = match_proof.findings(rows)
    assert said.count("\n\n") == 1 and "among 3 in" in said and "among 2 in" in said
    proof_figure(tmp_path / "figure.png", [row for row in rows if row.metric in (AUC, UNLIKE_AUC)])
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_too_few_songs_are_refused() -> None:
    with pytest.raises(BadInputError, match="at least 2 songs"):
        MatchProof(test=1).validate()
