"""What training has come to, in sound: a few validation clips generated or reconstructed, measured and drawn."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bassbench.audio import SAMPLE_RATE
from bassbench.embedders.registry import embed
from bassbench.hearing.pitch import bass_pitch
from bassbench.hearing.spectrum import log_mel
from bassbench.metrics.fad import frechet_distance
from bassbench.metrics.gaussian import Gaussian
from bassbench.metrics.harmony import chord_tone_share
from bassbench.results.figure import save_figure
from bassbench.songs.clips import load_clips
from bassbench.songs.render import Clip
from reference_model.autoencoder import Autoencoder
from reference_model.pipeline import BassAccompaniment, Sampling
from reference_model.unet import UNet

_CLIPS, _REFERENCES, _DRAWN = 8, 24, 3


class ValidationSamples:
    """Generates the basses of eight validation clips: FAD against the basses of others, chord tones, and a figure.

    A rough trend, not a result: eight clips are few.
    """

    def __init__(self, mix_autoencoder: Autoencoder, bass_autoencoder: Autoencoder, run: Path) -> None:
        self.autoencoders = mix_autoencoder, bass_autoencoder
        self.run = run

    @functools.cached_property
    def clips(self) -> list[Clip]:
        """The clips to generate for, then those that FAD is measured against."""
        return load_clips("validation", _CLIPS + _REFERENCES, progress=False)

    def __call__(self, unet: UNet, step: int) -> dict[str, float]:
        """Measures by name; the figure is samples-STEP.png in the run folder."""
        clips = self.clips[:_CLIPS]
        model = BassAccompaniment(*self.autoencoders, unet)
        mixes = np.stack([clip.mix for clip in clips])
        with torch.inference_mode():
            basses = model.accompany(mixes, seeds=range(_CLIPS), sampling=Sampling(steps=16, cfg=2.0))
        rows = {
            "mix": [clip.mix for clip in clips],
            "real bass": [clip.bass for clip in clips],
            "generated bass": list(basses),
        }
        draw_spectrograms({name: audio[:_DRAWN] for name, audio in rows.items()}, self.run / f"samples-{step:06d}.png")
        reference = _statistics([clip.bass for clip in self.clips[_CLIPS:]])
        shares = [chord_tone_share(bass_pitch(bass), clip.chords) for bass, clip in zip(basses, clips, strict=True)]
        return {
            "sample_fad_log_mel": round(frechet_distance(reference, _statistics(list(basses))), 3),
            "sample_chord_tone_share": round(float(np.nanmean(shares)), 4),
        }


def draw_spectrograms(rows: Mapping[str, Sequence[np.ndarray]], path: Path) -> None:
    """Mel spectrograms of audio `(2, samples)`: one row a name, one column a clip."""
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(4.2 * columns, 1.9 * len(rows)), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for line, (name, clips) in zip(axes, rows.items(), strict=True):
        for axis, audio in zip(line, clips, strict=True):
            levels = log_mel(audio.mean(axis=0), bands=96) * (10 / np.log(10))
            seconds = audio.shape[1] / SAMPLE_RATE
            axis.imshow(
                levels,
                origin="lower",
                aspect="auto",
                vmin=levels.max() - 70,
                vmax=levels.max(),
                extent=(0, seconds, 0, 96),
            )
            axis.set_yticks([])
        line[0].set_ylabel(name)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    save_figure(figure, path)


def _statistics(basses: Sequence[np.ndarray]) -> Gaussian:
    return Gaussian.from_samples(np.concatenate([embed(bass, SAMPLE_RATE, "log-mel") for bass in basses]))
