"""The linear path: latents as a PCA of frequency-weighted log magnitudes, read back by least squares.

Not in the paper.  From random weights a spectrogram autoencoder needs days to hold a bass's pitch; the PCA holds it
at once, and the networks improve on it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from reference_model.config import AutoencoderConfig

if TYPE_CHECKING:
    from reference_model.autoencoder import Autoencoder


def stacked(planes: Tensor, stack: int) -> Tensor:
    """`(batch, planes, frames, bins)` to `(batch, frames / stack, planes * stack * bins)`."""
    return planes.unflatten(2, (-1, stack)).transpose(1, 2).flatten(2)


def unstacked(features: Tensor, planes: int, stack: int) -> Tensor:
    """Inverse of `stacked`."""
    return features.unflatten(2, (planes, stack, -1)).transpose(1, 2).flatten(2, 3)


class LinearPath(nn.Module):
    """Fixed matrices between stacked features and latents of unit deviation."""

    components: Tensor
    heard_mean: Tensor
    score_std: Tensor
    readout: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.frames = frames = 2 * config.frames_per_latent
        self.register_buffer("components", torch.zeros(config.components, frames * config.network_bins))
        self.register_buffer("score_std", torch.ones(config.dims))
        self.register_buffer("readout", torch.zeros(config.dims, frames * config.bins))
        if config.components < config.dims:
            self.register_buffer("heard_mean", torch.zeros(config.dims - config.components))

    def encode(self, features: Tensor, heard: Tensor | None = None) -> Tensor:
        """Features of all STFT frames of a latent frame, centred and weighted, to `(..., dims)` of deviation 1.

        `heard` is what `Autoencoder.heard` gives of the same latent frames.
        """
        scores = features.float() @ self.components.T
        if heard is not None:
            scores = torch.cat([scores, heard - self.heard_mean], dim=-1)
        return scores / self.score_std

    def decode(self, scores: Tensor, bins: slice = slice(None)) -> Tensor:
        """`(..., dims)` to `(..., frames * bins)` deviations from the mean log magnitude, of the bins asked for."""
        readout = self.readout.unflatten(1, (self.frames, -1))[..., bins].flatten(1)
        return scores.float() @ readout


def principal_components(batches: Iterable[Tensor], dims: int) -> tuple[Tensor, Tensor]:
    """The `dims` leading directions `(dims, features)` and their deviations, of batches `(frames, features)`.

    The features must be centred already.  Streaming: memory does not grow with the number of batches.
    """
    count, scatter = 0, None
    for batch in batches:
        batch = batch.float()
        scatter = batch.T @ batch if scatter is None else scatter.addmm_(batch.T, batch)
        count += len(batch)
    if scatter is None or count <= dims:
        raise ValueError(f"principal components need more than {dims} frames, got {count}")
    covariance = scatter.div_(count).cpu().numpy()
    start = np.random.default_rng(0).standard_normal(len(covariance)).astype(covariance.dtype)
    variances, vectors = scipy.sparse.linalg.eigsh(covariance, k=dims, v0=start)
    order = np.argsort(-variances)
    vectors = vectors[:, order]
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(dims)])
    components = torch.from_numpy(np.ascontiguousarray((vectors * signs).T)).float()
    deviations = torch.from_numpy(np.sqrt(np.maximum(variances[order], 1e-12)).copy()).float()
    return components, deviations


def least_squares(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Matrix `(dims, targets)` that best reads centred targets from centred scores, over batches of pairs."""
    gram, cross = None, None
    for scores, targets in pairs:
        scores, targets = scores.float(), targets.float()
        gram = scores.T @ scores if gram is None else gram + scores.T @ scores
        cross = scores.T @ targets if cross is None else cross.addmm_(scores.T, targets)
    if gram is None or cross is None:
        raise ValueError("least squares needs at least one batch")
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    return torch.linalg.solve(gram + ridge, cross)


def fit_linear_path(model: "Autoencoder", audio: Callable[[], Iterator[Tensor]]) -> None:
    """Fit mean, components and readout of an autoencoder in place, in three passes over the same audio.

    `audio()` starts a new pass and yields `(batch, 2, samples)`.  Afterwards the linear path's latents have mean 0
    and deviation 1 on that audio.
    """
    linear = model.linear
    if linear is None:
        raise ValueError("this configuration has no linear path to fit")
    with torch.no_grad():
        count, total = 0, torch.zeros_like(model.feature_mean)
        for batch in audio():
            log_magnitude = model.log_magnitude(batch)
            total += log_magnitude.sum((0, 2))
            count += log_magnitude.shape[0] * log_magnitude.shape[2]
        model.feature_mean.copy_(total / max(count, 1))
        stack = model.config.frames_per_latent
        features = (model.features(model.log_magnitude(batch), stack).flatten(0, 1) for batch in audio())
        components, deviations = principal_components(features, model.config.components)
        linear.components.copy_(components)
        linear.score_std[: model.config.components].copy_(deviations / model.config.component_deviation)
        if model.config.components < model.config.dims:
            found = (model.heard(batch) for batch in audio())
            heard = torch.cat([part.flatten(0, 1) for part in found if part is not None])
            linear.heard_mean.copy_(heard.mean(0))
            linear.score_std[model.config.components :].copy_(heard.std(0).clamp(min=1e-6))
        linear.readout.copy_(least_squares(_scores_and_targets(model, linear, audio())))


def _scores_and_targets(
    model: "Autoencoder", linear: LinearPath, batches: Iterator[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        log_magnitude = model.log_magnitude(batch)
        scores = linear.encode(model.features(log_magnitude, model.config.frames_per_latent), model.heard(batch))
        targets = stacked(log_magnitude - model.feature_mean[:, None], model.config.frames_per_latent)
        yield scores.flatten(0, 1), targets.flatten(0, 1)
