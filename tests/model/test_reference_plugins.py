"""What the reference model and the matcher add to the suite by entry point."""

import numpy as np
import pytest

from bassbench.embedders.registry import embed, find_embedder
from bassbench.hearing.spectrum import log_mel
from bassbench.metrics.metric import Scored
from bassbench.metrics.registry import clip_metrics
from bassbench.songs.render import Clip, render_clip
from bassbench.songs.song_bank import Song
from bassbench.suite.systems import load_system

SAMPLES = 6 * 44_100


@pytest.fixture(scope="module")
def clip(song: Song) -> Clip:
    return render_clip(song, 0, samples=SAMPLES)


def test_the_reference_model_plays_and_has_a_codec(clip: Clip) -> None:
    system = load_system("reference", ["steps=1", "cfg=1", "device=cpu"])
    bass = system.accompany(clip.mix[None], seeds=[0])
    assert bass.shape == (1, 2, SAMPLES) and np.isfinite(bass).all()
    coded = system.codec(clip.bass)  # type: ignore[attr-defined]
    assert coded.shape == clip.bass.shape
    spectra = [log_mel(audio.mean(axis=0), high=2_000, floor=1e-4).ravel() for audio in (coded, clip.bass)]
    assert np.corrcoef(*spectra)[0, 1] > 0.8
    assert len(system.codec_key) == 24  # type: ignore[attr-defined]


def test_the_reference_embedder_tells_basses_apart(clip: Clip) -> None:
    assert len(find_embedder("reference").weights_sha256) == 64
    real = embed(clip.bass, 44_100, "reference")
    again, other = embed(0.25 * clip.bass, 44_100, "reference"), embed(clip.mix, 44_100, "reference")
    assert real.shape == (2, 64)
    assert np.linalg.norm(real - again) < 0.05 * np.linalg.norm(real - other)


def test_the_match_metric_scores_silence_lowest(clip: Clip) -> None:
    match = clip_metrics()["match"]
    assert match.measure(Scored(clip, np.zeros_like(clip.bass))) == -1.0
    assert -1.0 < match.measure(Scored(clip, clip.bass)) <= 1.0
