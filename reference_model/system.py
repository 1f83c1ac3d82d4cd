"""The reference model as a system of the suite: `bassbench run reference steps=32 cfg=2` (entry point)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassbench.cache import content_hash
from bassbench.training.pretrained import find_device
from reference_model.pipeline import Sampling, load, weights_hash
from reference_model.presets import SAMPLE_RATE


class Reference:
    """The model with its sampling options, and its bass autoencoder as the codec whose ceiling it cannot pass."""

    name = "reference model"
    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        weights: str = "small",
        device: str = "auto",
        steps: int = Sampling.steps,
        cfg: float = Sampling.cfg,
        phi: float = Sampling.phi,
        grounding: float = Sampling.grounding,
        temperature: float = Sampling.temperature,
        compiled: bool = False,
    ) -> None:
        """Load the weights; `compiled`: see `BassAccompaniment`.

        Raises:
            BadInputError: an option out of range, unknown weights or device.
        """
        self.sampling = Sampling(steps=steps, cfg=cfg, phi=phi, grounding=grounding, temperature=temperature)
        self.model = dataclasses.replace(load(weights, find_device(device)), compiled=compiled)
        self.version = weights_hash(self.model)
        tensors = self.model.bass_autoencoder.state_dict()
        parts = (tensors[name].cpu().numpy().tobytes() for name in sorted(tensors))
        self.codec_key = content_hash(*parts)

    def accompany(self, mix: np.ndarray, *, style: np.ndarray | None = None, seeds: Sequence[int]) -> np.ndarray:
        """Bass `(batch, 2, samples)` for mixes of that shape."""
        return self.model.accompany(mix, style=style, seeds=seeds, sampling=self.sampling)

    def codec(self, audio: np.ndarray) -> np.ndarray:
        """Audio `(2, samples)` through the bass autoencoder."""
        return self.model.through_codec(audio)
