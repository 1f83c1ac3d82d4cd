"""The target table on tiny random weights, and its measures on basses that are known."""

from pathlib import Path

import numpy as np
import pytest

from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.statistics import statistic_interval
from bassbench.results.rows import RowStore
from bassbench.songs.clips import ClipRequest
from bassbench.songs.song_bank import Chord, Song
from bassbench.suite.anchors import REAL
from experiments import targets
from experiments.evaluate_codec import (
    LEVEL,
    LSD,
    MEL,
    NOTES,
    SDR,
    STFT,
    codec_measures,
    kept_by_tracks,
    probe,
    probe_song,
)
from experiments.targets import CHORD, CODEC_RATIO, COLLAPSED, Evaluate, target_table

SAMPLES = 36 * 4096


@pytest.mark.filterwarnings("ignore::reference_model.loading.UnrecordedEncodersWarning")
@pytest.mark.filterwarnings("ignore::bassbench.metrics.fad.FewWindowsWarning")
def test_a_run_writes_every_number_and_a_second_computes_nothing(
    weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_seed = {"test": 0, "human": 20, "validation": 30, "train": 40, "unseen-font": 50}

    def made(split: str, count: int) -> list[ClipRequest]:
        seeds = range(first_seed[split], first_seed[split] + min(count, 16 if split == "test" else 4))
        return [ClipRequest(song, seed, SAMPLES) for seed in seeds]

    monkeypatch.setattr(targets, "requests_of", made)
    config = Evaluate(
        clips=8,
        steps=1,
        weights=str(weights),
        device="cpu",
        output=tmp_path,
        timbre_examples=32,
        replicates=2,
        resamples=20,
        probe_resamples=20,
    )
    config.run()
    rows = RowStore(tmp_path / "targets.jsonl").rows()
    by_cell = {(row.setting["split"], row.system, row.metric): row.value for row in rows}
    assert len(by_cell) == len(rows)
    # The made songs' bass plays roots only.
    assert by_cell["test", REAL, CHORD] > 0.9
    assert by_cell["test", REAL, COLLAPSED] == 0
    shown = {(target.metric, split) for target in targets.TARGETS for split in target.splits}
    text = (tmp_path / "targets.md").read_text()
    assert all(metric in text for metric, _ in shown)
    # With random weights the codec is farther from the bass than another program is.
    verdicts = target_table(rows).set_index(["target", "split"])
    assert by_cell["test", targets.CODEC, CODEC_RATIO] > 0.25
    assert verdicts.loc[(CODEC_RATIO, "test"), "met"] == "NO" and verdicts.loc[(CODEC_RATIO, "human"), "met"] == ""

    monkeypatch.setattr(targets, "cached_clip", None)  # a second run reads no clip
    before = text, (tmp_path / "targets.jsonl").read_bytes()
    capsys.readouterr()
    config.run()
    assert before == ((tmp_path / "targets.md").read_text(), (tmp_path / "targets.jsonl").read_bytes())
    assert "Targets of the reference model" in capsys.readouterr().out


def test_the_codecs_measures_tell_the_same_bass_from_a_changed_one(song: Song) -> None:
    clip = ClipRequest(song, 0, SAMPLES).render()
    same = codec_measures(clip, clip.bass)
    assert same[NOTES] == 1
    assert same[LEVEL] == same[LSD] == same[STFT] == same[MEL] == 0
    quieter = codec_measures(clip, clip.bass / 2)
    assert quieter[LEVEL] == pytest.approx(6.02, abs=0.01)
    assert quieter[SDR] > 100  # scale does not count
    noisy = clip.bass + 0.1 * clip.bass.std() * np.random.default_rng(0).standard_normal(clip.bass.shape)
    assert codec_measures(clip, noisy.astype(np.float32))[SDR] == pytest.approx(20, abs=0.5)


def test_a_bass_a_semitone_up_keeps_no_note(song: Song) -> None:
    clip = ClipRequest(song, 0, SAMPLES).render()
    track = bass_pitch(clip.bass)
    moved = type(track)(track.times, track.f0 * 2 ** (0.6 / 12), track.voiced, track.level)
    near = type(track)(track.times, track.f0 * 2 ** (0.4 / 12), track.voiced, track.level)
    assert not kept_by_tracks(track, moved, clip.bass_notes).any()
    assert kept_by_tracks(track, near, clip.bass_notes).all() and len(kept_by_tracks(track, near, clip.bass_notes))
    assert not len(kept_by_tracks(track, near, ()))


def test_the_probe_reads_what_is_in_the_latents_and_nothing_else() -> None:
    generator = np.random.default_rng(0)

    def songs(count: int, *, informed: bool) -> list:
        found = []
        for _ in range(count):
            roots = generator.integers(12, size=8)
            chords = [
                Chord(i, i + 1, "", int(root), (int(root), (int(root) + 4) % 12, (int(root) + 7) % 12))
                for i, root in enumerate(roots)
            ]
            latent = generator.standard_normal((12, 86)).astype(np.float32)
            if informed:
                times = (np.arange(86) + 0.5) * 4096 / 44100
                latent[roots[np.minimum(times.astype(int), 7)], np.arange(86)] += 6
            found.append(probe_song(latent, chords))
        return found

    informed = probe(songs(24, informed=True), songs(8, informed=True), generator=np.random.default_rng(0))
    assert informed["root"].value > 0.9
    assert informed["chroma"].value > 0.97
    assert informed["root"].low <= informed["root"].value <= informed["root"].high
    blind = probe(songs(24, informed=False), songs(8, informed=False), generator=np.random.default_rng(0))
    assert blind["root"].value < 0.2
    assert blind["chroma"].value < 0.6


def test_the_interval_of_a_ratio_holds_it_and_narrows_with_songs() -> None:
    generator = np.random.default_rng(0)
    over, under = generator.normal(2, 0.5, 400), generator.normal(4, 0.5, 400)

    def ratio(drawn: np.ndarray) -> float:
        return float(over[drawn].mean() / under[drawn].mean())

    few, many = (statistic_interval(ratio, count, generator=generator, resamples=200) for count in (20, 400))
    assert many.low < 0.5 < many.high
    assert many.high - many.low < few.high - few.low
