"""The style clips of the grounding study: the real bass of another song for each mix, and what is compared with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bassbench.audio import fit_length
from bassbench.cache import content_hash
from bassbench.embedders.cache import embed_cached, embed_keyed
from bassbench.metrics.style import clip_embedding, cosine_distances, euclidean_distances
from bassbench.songs.arrangement import BASS_PROGRAMS
from bassbench.songs.clips import cached_clip
from bassbench.songs.render import Clip
from bassbench.suite.anchors import derangement, noise
from experiments import studies
from experiments.perturbations import played_by
from experiments.player import Player
from experiments.playing import ClipScores, Evaluator
from experiments.timbre import EMBEDDER, TimbreClassifier, fit_timbre
from reference_model.pipeline import BassAccompaniment, Sampling

COSINE, EUCLIDEAN, OTHERS = "cosine distance", "Euclidean distance", "cosine to other styles"
CODEC, REAL, NOISE = "style clip through the codec", "real bass of the mix", "noise"
SAME, DIFFERENT = "real bass, style's program", "real bass, another program"
ANCHORS = (CODEC, SAME, DIFFERENT, REAL, NOISE)

Sounds = Iterator[tuple[np.ndarray, str | None]]
"""The bass `(2, samples)` of each clip in order, and a hash of all that it depends on (None: hash the audio)."""


@dataclass(frozen=True)
class Styles:
    """For each clip of the evaluator, the style clip that goes with its mix."""

    evaluator: Evaluator
    timbre_examples: int

    @cached_property
    def pairing(self) -> np.ndarray:
        """Which song's bass is the style of each, `(clips,)`."""
        return derangement(len(self.evaluator.requests), generator=np.random.default_rng(self.evaluator.seed))

    @cached_property
    def embeddings(self) -> np.ndarray:
        """Of the style clips, `(clips, dim)`."""
        styles = map(self.style, range(len(self.evaluator.requests)))
        embedder, device = self.evaluator.embedder, self.evaluator.device
        return np.stack([clip_embedding(embed_cached(style.bass, embedder, device=device)) for style in styles])

    @cached_property
    def classifier(self) -> TimbreClassifier:
        """Of the eight programs, fitted when first needed."""
        return fit_timbre(self.timbre_examples, device=self.evaluator.device, seed=self.evaluator.seed)

    def style(self, index: int) -> Clip:
        """The clip whose bass is the style of clip `index`."""
        return cached_clip(self.evaluator.requests[self.pairing[index]])

    def means(self, model: BassAccompaniment, decibels: float = 0.0) -> Tensor:
        """Means over time of the latents of the style clips, played louder by `decibels`: `(clips, dims)`."""
        factor = np.float32(10 ** (decibels / 20))
        styles = (self.style(index).bass[None] * factor for index in range(len(self.evaluator.requests)))
        return torch.cat([model.style_mean(style).cpu() for style in styles])

    def distances(self, heard: Sequence[ClipScores]) -> dict[str, list[float]]:
        """Distances of each bass from its style clip, and the mean one from the style clips of the others."""
        generated = np.stack([clip_embedding(one.embedding) for one in heard])
        cosine = cosine_distances(self.embeddings, generated)
        others = ~np.eye(len(heard), dtype=bool)
        return {
            COSINE: np.diag(cosine).tolist(),
            EUCLIDEAN: np.diag(euclidean_distances(self.embeddings, generated)).tolist(),
            OTHERS: np.mean(cosine, axis=0, where=others).tolist(),
        }

    def identified(self, index: int, audio: np.ndarray, key: str | None) -> float:
        """Whether the classifier hears the style clip's program in the bass for clip `index`, 1 or 0."""
        sound = audio if np.isfinite(audio).all() else np.zeros_like(audio)
        embedding = embed_keyed(key, lambda: sound, EMBEDDER, device=self.evaluator.device)
        return float(self.classifier.identify(embedding) == self.style(index).bass_program)

    def played(self, player: Player, sampling: Sampling, decibels: float = 0.0) -> Sounds:
        """What the model plays in the style of each clip, given louder by `decibels`; no style without grounding."""
        means = self.means(player.model, decibels) if sampling.grounding else None
        style = "" if means is None else content_hash(means.numpy().tobytes())
        for index, take in enumerate(player.basses(sampling, means)):
            yield take.audio, player.key(index, sampling, style)

    def anchor(self, name: str, model: BassAccompaniment) -> Sounds:
        """The anchor's bass for each clip."""
        for index, request in enumerate(self.evaluator.requests):
            clip, style = cached_clip(request), self.style(index)
            if name == CODEC:
                audio = model.codec(style.bass)
            elif name == NOISE:
                audio = noise(clip, style, studies.clip_seed(self.evaluator.seed, index))
            elif name == REAL:
                audio = clip.bass
            else:
                program = style.bass_program
                audio = played_by(program if name == SAME else other_program(program, index), clip)
            yield fit_length(audio, clip.bass.shape[1]), None


def other_program(program: int, index: int) -> int:
    """One of the seven other basses, in turn."""
    others = [other for other in BASS_PROGRAMS if other != program]
    return others[index % len(others)]
