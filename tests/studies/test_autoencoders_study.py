"""The study of the autoencoders: true magnitudes against known answers, detuning, and a whole run on tiny weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bassbench.errors import BadInputError
from bassbench.hearing.pitch import bass_pitch
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Song
from experiments import autoencoders
from experiments.autoencoders import (
    METRICS,
    PROBED,
    Autoencoders,
    chroma_correlation,
    detuned,
    from_magnitudes,
    reconstructions,
)
from reference_model.autoencoder import Autoencoder
from reference_model.codec_probes import log_spectral_distance
from reference_model.presets import PRESETS

SAMPLES = 60 * 4096


def test_griffin_lim_comes_nearer_to_the_magnitudes_than_random_phase(song: Song) -> None:
    coder = Autoencoder(PRESETS["tiny"].autoencoders["bass"])
    bass = cached_clip(ClipRequest(song, 0, SAMPLES)).bass[:, : 8 * 4096 + 100]
    random, refined = (from_magnitudes(coder, bass, iterations) for iterations in (0, 16))
    assert random.shape == refined.shape == bass.shape
    far, near = (log_spectral_distance(torch.from_numpy(bass), torch.from_numpy(x)) for x in (random, refined))
    assert near < far
    for way in reconstructions(coder, iterations=2).values():
        assert way(bass).shape == bass.shape


def test_a_detuned_bass_is_detuned(song: Song) -> None:
    clip = cached_clip(ClipRequest(song, 0, SAMPLES))
    straight, high = (bass_pitch(detuned(clip, cents=cents)) for cents in (0, 50))
    both = straight.voiced & high.voiced
    assert np.median(high.midi[both] - straight.midi[both]) == pytest.approx(0.5, abs=0.06)


def test_chroma_agreement_sees_transposition_and_not_level(song: Song) -> None:
    mix = cached_clip(ClipRequest(song, 0, SAMPLES)).mix
    assert chroma_correlation(mix, mix / 2) == pytest.approx(1.0)
    tone = np.sin(2 * np.pi * 220 * np.arange(44_100) / 44_100)[None].astype(np.float32)
    assert chroma_correlation(tone, np.sin(2 * np.pi * 311 * np.arange(44_100) / 44_100)[None].astype(np.float32)) < 0.2
    assert np.isnan(chroma_correlation(tone, np.zeros_like(tone)))


def test_a_run_writes_everything_and_a_second_computes_nothing(
    weights: Path, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    requests = [ClipRequest(song, seed, SAMPLES) for seed in range(2)]
    monkeypatch.setattr(autoencoders, "clip_requests", lambda split, count: requests[:count])
    config = Autoencoders(
        clips=2,
        probe_songs=2,
        cents=(0, 60),
        iterations=2,
        weights=str(weights),
        output=output,
        embedder="log-mel",
        device="cpu",
    )
    config.run()
    table = (output / "autoencoders.md").read_text()
    assert "true magnitudes, random phase" in table and "detuned bass" in table and "log-spectral distance is" in table
    lines = (output / "autoencoders.jsonl").read_text().splitlines()
    assert len(lines) % len(METRICS) == 2 * len(PROBED) and len(lines) >= 10 * len(METRICS)
    assert all(name in table for name in PROBED)
    assert (output / "autoencoders.png").stat().st_size > 10_000
    assert "SI-SDR" in capsys.readouterr().out

    written = {path: path.read_bytes() for path in output.iterdir()}
    for name in ("measure", "probe"):
        monkeypatch.setattr(autoencoders, name, None)
    config.run()
    assert {path: path.read_bytes() for path in output.iterdir()} == written


@pytest.mark.parametrize("changes", [{"clips": 1}, {"cents": (0, 0)}, {"cents": (-1,)}, {"iterations": 0}])
def test_impossible_settings_are_refused(changes: dict) -> None:
    with pytest.raises(BadInputError):
        Autoencoders(**changes).validate()
