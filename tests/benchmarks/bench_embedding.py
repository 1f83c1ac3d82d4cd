"""Every embedder at hand, and a Fréchet audio distance from files to a number, by the number of clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
from measuring import Measure
from subjects import CLIP_FRAMES, noise, seconds

from bassbench.audio import SAMPLE_RATE, read_audio, write_audio
from bassbench.embedders.fadtk import FADTK_MODELS, PREFIX
from bassbench.embedders.registry import embed, embedder_names, find_embedder
from bassbench.errors import BadInputError
from bassbench.metrics.fad import frechet_distance
from bassbench.metrics.gaussian import Gaussian

CLIPS = (4, 8, 16)


@pytest.mark.parametrize("name", [*embedder_names(), *(PREFIX + name for name in FADTK_MODELS)])
def test_embedder(measure: Measure, device: torch.device, name: str) -> None:
    """One stereo clip: folded down, resampled, brought to one loudness, embedded."""
    try:
        find_embedder(name)
        clip = noise(1, CLIP_FRAMES)[0]
        embed(clip[:, : 10 * SAMPLE_RATE], SAMPLE_RATE, name, device=device.type)
    except BadInputError as error:
        pytest.skip(str(error))
    rows = measure(
        lambda: embed(clip, SAMPLE_RATE, name, device=device.type),
        group="embedders",
        case=name,
        audio=seconds(CLIP_FRAMES),
    )
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("clips", CLIPS)
def test_fad_end_to_end(measure: Measure, device: torch.device, tmp_path: Path, clips: int) -> None:
    """Two folders of half the clips each: read, embedded, summed up one file at a time."""
    for index, clip in enumerate(noise(clips, CLIP_FRAMES)):
        write_audio(tmp_path / f"{index}.wav", clip)
    paths = sorted(tmp_path.glob("*.wav"))

    def distance() -> float:
        sides = []
        for side in (paths[::2], paths[1::2]):
            songs = (Gaussian.from_samples(embed(read_audio(p), SAMPLE_RATE, device=device.type)) for p in side)
            sides.append(sum(songs, Gaussian.empty(200)))
        return frechet_distance(*sides)

    assert (
        measure(
            distance,
            group="FAD by clips",
            case="musicnn, wav to distance",
            audio=clips * seconds(CLIP_FRAMES),
            clips=clips,
        )
        >= 0
    )
