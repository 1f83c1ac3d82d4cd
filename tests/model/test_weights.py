"""The weights that are shipped: they load by name, fit in the repository, and play a bass that follows the mix."""

from pathlib import Path

import numpy as np
import pytest
import torch
from valid_audio import assert_audio_valid

import reference_model
from bassbench.audio import fit_length
from bassbench.hearing.pitch import bass_pitch
from bassbench.metrics.harmony import chord_tone_share
from bassbench.songs.clips import cached_clip, clip_requests
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.codec_probes import level_error
from reference_model.loading import WEIGHTS
from reference_model.pipeline import Sampling
from reference_model.presets import PRESETS


@pytest.fixture(scope="module")
def model() -> reference_model.BassAccompaniment:
    return reference_model.load("small")


def test_they_are_those_of_the_preset_and_small_enough(model: reference_model.BassAccompaniment) -> None:
    assert model.unet.config == PRESETS["small"].unet
    assert model.mix_autoencoder.config == PRESETS["small"].autoencoders["mix"]
    assert model.bass_autoencoder.config == PRESETS["small"].autoencoders["bass"]
    assert sum(path.stat().st_size for path in Path(WEIGHTS).rglob("*.safetensors")) < 40 * 2**20


def test_the_codec_keeps_the_level_of_a_bass(model: reference_model.BassAccompaniment) -> None:
    clip = cached_clip(clip_requests("test", 1)[0])
    audio = torch.from_numpy(fit_length(clip.bass, 64 * 4096))[None]
    coder: Autoencoder = model.bass_autoencoder
    assert abs(level_error(audio, codec.decode(coder, codec.encode(coder, audio)))) < 1.5


def test_generated_bass_follows_its_own_mix_better_than_another(model: reference_model.BassAccompaniment) -> None:
    clips = [cached_clip(request) for request in clip_requests("test", 4)]
    basses = model.accompany(
        np.stack([clip.mix for clip in clips]), seeds=range(4), sampling=Sampling(steps=8, cfg=3.0)
    )
    for bass in basses:
        assert_audio_valid(bass, samples=256 * 4096)
    tracks = [bass_pitch(bass) for bass in basses]
    own = np.mean([chord_tone_share(track, clip.chords) for track, clip in zip(tracks, clips, strict=True)])
    swapped = np.mean([chord_tone_share(tracks[i - 1], clip.chords) for i, clip in enumerate(clips)])
    assert own > 0.6 and own > swapped + 0.2
