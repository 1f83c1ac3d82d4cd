"""From a mix to a bass: from arrays, and from wav file to wav file as `python -m reference_model.generate` does."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from measuring import Measure
from subjects import CLIP_FRAMES, noise, reference_model, seconds

from bassbench.audio import write_audio
from reference_model.generate import accompany_file
from reference_model.pipeline import BassAccompaniment, Sampling

SETTINGS = {
    "16 evaluations": Sampling(steps=16, cfg=1.0),
    "16 steps, guided": Sampling(steps=16, cfg=2.0),
    "64 steps, guided": Sampling(steps=64, cfg=2.0),
    "64 steps, guided, compiled": Sampling(steps=64, cfg=2.0),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("frames", [64, CLIP_FRAMES, 1024])
def test_wav_to_wav(
    measure: Measure, preset: str, device: torch.device, costly: bool, tmp_path: Path, frames: int, setting: str
) -> None:
    """One file: read, encoded, sampled, decoded, written; the model is loaded already."""
    if frames != CLIP_FRAMES and setting != "16 evaluations" and not costly:
        pytest.skip("takes long on a CPU (--costly)")
    model, mix, bass = reference_model(preset, device), tmp_path / "mix.wav", tmp_path / "bass.wav"
    write_audio(mix, noise(1, frames)[0])
    compiled = dataclasses.replace(model, compiled=True) if "compiled" in setting else None

    def play(player: BassAccompaniment) -> None:
        accompany_file(player, mix, bass, sampling=SETTINGS[setting])

    measure(
        lambda: play(compiled or model),
        plainly=None if compiled is None else lambda: play(model),
        group="generation, wav to wav",
        case=setting,
        audio=seconds(frames),
        dtype="bfloat16" if model.bfloat16 else "float32",
        batch=1,
        frames=frames,
    )
    assert bass.exists()


@pytest.mark.parametrize(("case", "cfg"), [("8 evaluations", 1.0), ("8 steps, guided", 2.0)])
def test_accompany(measure: Measure, preset: str, device: torch.device, batch: int, case: str, cfg: float) -> None:
    """Arrays in and out, 8 steps."""
    model, mix = reference_model(preset, device), noise(batch, CLIP_FRAMES)
    bass = measure(
        lambda: model.accompany(mix, seeds=range(batch), sampling=Sampling(steps=8, cfg=cfg)),
        group="generation, arrays",
        case=case,
        audio=batch * seconds(CLIP_FRAMES),
        dtype="bfloat16" if model.bfloat16 else "float32",
        batch=batch,
        frames=CLIP_FRAMES,
    )
    assert np.isfinite(bass).all()
