"""The whole chain on tiny sizes: songs, autoencoders, latents, diffusion, a generated bass, FAD, a row, a table."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from valid_audio import assert_audio_valid

from bassbench.embedders.registry import embed, protocol
from bassbench.metrics.fad import FewWindowsWarning, fad
from bassbench.metrics.gate import gate
from bassbench.results.rows import Measurement, RowStore, measured
from bassbench.results.table import table, terminal
from bassbench.songs.clips import ClipRequest, cached_clip
from bassbench.songs.song_bank import Song
from reference_model import load
from reference_model.latents import encode_pair, latent_pairs
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.train_autoencoder import TrainAutoencoder
from reference_model.train_autoencoder import train as train_autoencoder
from reference_model.train_diffusion import TrainingConfig
from reference_model.train_diffusion import train as train_diffusion

SAMPLES = 64 * 4096


@pytest.fixture(scope="module")
def requests(song: Song) -> list[ClipRequest]:
    return [ClipRequest(song, seed, samples=SAMPLES) for seed in range(6)]


@pytest.fixture(scope="module")
def model(requests: list[ClipRequest], tmp_path_factory: pytest.TempPathFactory) -> BassAccompaniment:
    """Everything trained from nothing for a few steps, saved, and loaded by path as a user would."""
    folder, runs = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("runs")
    clips = [cached_clip(request) for request in requests]
    coders = {}
    for which in ("mix", "bass"):
        settings = TrainAutoencoder(which=which, run=runs / which, preset="tiny", steps=5, fit_frames=1_024)
        stems = [getattr(clip, which) for clip in clips]
        coders[which] = train_autoencoder(settings, stems, stems[:1])
        shutil.copy(runs / which / "weights.safetensors", folder / f"{which}_autoencoder.safetensors")
    pairs = latent_pairs(
        [request.key for request in requests],
        lambda chosen: (encode_pair(coders["mix"], coders["bass"], clips[i].mix, clips[i].bass) for i in chosen),
        tmp_path_factory.mktemp("latents"),
        frames=32,
    )
    config = TrainingConfig(run=runs / "unet", preset="tiny", steps=10, frames=32, device="cpu", precision="no")
    train_diffusion(config, pairs, pairs)
    shutil.copy(runs / "unet" / "unet.safetensors", folder)
    return load(folder)


def test_a_trained_model_generates_scores_and_reports(
    model: BassAccompaniment, requests: list[ClipRequest], tmp_path: Path
) -> None:
    clips = [cached_clip(request) for request in requests]
    mixes = np.stack([clip.mix for clip in clips])
    basses = model.accompany(mixes, seeds=range(6), sampling=Sampling(steps=2))
    for bass in basses:
        assert_audio_valid(bass, samples=SAMPLES)
    real, generated = (
        [embed(bass, 44_100, "log-mel") for bass in group] for group in ([clip.bass for clip in clips], basses)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)
        result = fad(real, generated, generator=np.random.default_rng(0), replicates=20)
        same = fad(real, real, generator=np.random.default_rng(0), replicates=20)
    assert result.value > same.value and same.value == pytest.approx(0, abs=1e-6)
    assert result.low <= result.value <= result.high

    store = RowStore(tmp_path / "chain.jsonl")
    wanted = Measurement(
        experiment="chain",
        system=model.name,
        setting={"steps": 2},
        metric="FAD",
        clips=len(clips),
        seed=0,
        protocol={"FAD": protocol("log-mel")},
    )
    store.append(measured(wanted, result.value, result.low, result.high, seconds=0.0, device="cpu"))
    assert model.name in terminal(table(store.rows(), ["steps"]))
    assert all(gate(clip.bass).passed for clip in clips)


def test_a_clip_depends_on_its_own_mix_and_seed_alone(model: BassAccompaniment, requests: list[ClipRequest]) -> None:
    mixes = np.stack([cached_clip(request).mix for request in requests[:3]])
    together = model.accompany(mixes, seeds=[5, 6, 7], sampling=Sampling(steps=2))
    alone = model.accompany(mixes[1:2], seeds=[6], sampling=Sampling(steps=2))
    np.testing.assert_allclose(alone[0], together[1], atol=2e-3 * float(np.abs(alone).max()))
    other_seed = model.accompany(mixes[1:2], seeds=[8], sampling=Sampling(steps=2))
    assert np.abs(other_seed - alone).max() > 1e-3


def test_style_grounding_moves_the_timbre_towards_the_style(
    model: BassAccompaniment, requests: list[ClipRequest]
) -> None:
    clips = [cached_clip(request) for request in requests[:2]]
    target = model.style_mean(clips[1].bass[None])

    def distance(style: np.ndarray | None) -> float:
        latent = model.generate_latents(
            model.encode_mix(clips[0].mix[None]).latent,
            seeds=[0],
            style_mean=None if style is None else model.style_mean(style),
            sampling=Sampling(steps=8),
        )
        return float(torch.dist(latent.mean(dim=2), target))

    assert distance(clips[1].bass[None]) < 0.5 * distance(None)
