"""Does this bass fit this mix?  The one path from audio to similarity: training, studies and suite all take it."""

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bassbench.audio import SAMPLE_RATE, resample
from bassbench.errors import BadInputError
from contrastive.config import MIN_SECONDS, FeatureConfig
from contrastive.encoder import Matcher, network_input, similarity
from contrastive.features import Place, features, view

WEIGHTS = Path(__file__).parent / "weights" / "small.safetensors"
SILENT = -1.0
"""Similarity of a pair in which one side is silent: the lowest there is."""


def score(
    mixes: np.ndarray | Sequence[np.ndarray],
    basses: np.ndarray | Sequence[np.ndarray],
    *,
    sample_rate: int = SAMPLE_RATE,
    matcher: Matcher | None = None,
) -> np.ndarray:
    """Similarity `(mixes, basses)` of every mix with every bass, -1 to 1, by the shipped `small` matcher or another.

    Both are clips `(channels, samples)` of at least 5 s, as an array `(clips, channels, samples)` or a list. Clips of
    different length are compared over what they have in common from the start on, with a warning. A silent clip is
    given -1 with everything, with a warning. Level does not matter.

    Raises:
        BadInputError: a clip is shorter than 5 s, holds NaN or Inf, or is not `(channels, samples)`; no weights.
    """
    matcher = matcher or shipped()
    clips = [*_checked(mixes, "mix", sample_rate), *_checked(basses, "bass", sample_rate)]
    lengths = [clip.shape[1] for clip in clips]
    if min(lengths) < max(lengths):
        common = min(lengths) / SAMPLE_RATE
        warnings.warn(f"clips of different length: only the first {common:.2f} s of each are compared", stacklevel=2)
    heard = [features(clip[:, : min(lengths)], matcher.config.features) for clip in clips]
    silent = [not stored.any() for stored in heard]
    if any(silent):
        warnings.warn(f"{sum(silent)} of {len(clips)} clips are silent; their similarity is {SILENT:g}", stacklevel=2)
    return score_features(heard[: len(mixes)], heard[len(mixes) :], matcher)


def score_features(mixes: Sequence[np.ndarray], basses: Sequence[np.ndarray], matcher: Matcher) -> np.ndarray:
    """Similarity `(mixes, basses)` of clips that are features uint8 `(bins, frames)` of one length.

    The clips are cut into windows that cover them evenly; the similarity is the mean over windows.
    """
    mix = _embedded(mixes, matcher, matcher.mix_tower)
    bass = _embedded(basses, matcher, matcher.bass_tower)
    scores = torch.stack([similarity(a, b) for a, b in zip(mix, bass, strict=True)]).mean(dim=0).cpu().numpy()
    scores[[not stored.any() for stored in mixes], :] = SILENT
    scores[:, [not stored.any() for stored in basses]] = SILENT
    return scores


@functools.lru_cache(maxsize=1)
def shipped() -> Matcher:
    """The `small` matcher that comes with the package.

    Raises:
        BadInputError: its file is missing or damaged.
    """
    return Matcher.from_pretrained(WEIGHTS)


def window_starts(frames: int, window: int) -> list[int]:
    """First frames of the fewest windows that cover a clip, spread evenly; one from 0 if the clip is no longer."""
    count = -(-frames // window)
    return [round(i * (frames - window) / (count - 1)) for i in range(count)] if count > 1 else [0]


@torch.no_grad()
def _embedded(clips: Sequence[np.ndarray], matcher: Matcher, tower: torch.nn.Module) -> list[Tensor]:
    """Embeddings `(clips, dims, frames)` of each window."""
    config: FeatureConfig = matcher.config.features
    frames = clips[0].shape[1]
    if any(clip.shape[1] != frames for clip in clips):
        raise ValueError("clips of one length are compared")
    window = min(frames, round(matcher.config.window * config.frames_per_second))
    device, embedded = matcher.log_scale.device, []
    training = tower.training
    tower.eval()
    for start in window_starts(frames, window):
        views = (torch.from_numpy(view(clip, Place(start, 1.0, 0), window, config)) for clip in clips)
        # One clip at a time: the result does not depend on what else is scored.
        embedded.append(torch.cat([tower(network_input(seen[None].to(device))) for seen in views]))
    tower.train(training)
    return embedded


def _checked(clips: np.ndarray | Sequence[np.ndarray], which: str, sample_rate: int) -> list[np.ndarray]:
    checked = []
    for index, clip in enumerate(clips):
        clip = np.asarray(clip, dtype=np.float32)
        name = f"{which} {index}"
        if clip.ndim != 2 or not 1 <= clip.shape[0] <= 2:
            raise BadInputError(f"{name}: expected (1 or 2 channels, samples), got shape {clip.shape}")
        if clip.shape[1] < MIN_SECONDS * sample_rate:
            seconds = clip.shape[1] / sample_rate
            raise BadInputError(f"{name}: {seconds:.2f} s long; at least {MIN_SECONDS:g} s are needed to judge a match")
        if not np.isfinite(clip).all():
            raise BadInputError(f"{name}: the audio holds NaN or Inf; repair it before scoring")
        checked.append(resample(clip, sample_rate, SAMPLE_RATE))
    if not checked:
        raise BadInputError(f"no {which} was given to score")
    return checked
