"""Move a trained U-Net to the latents of other autoencoders: `python -m reference_model.rebase --output NEW ...`.

Two encoders that are PCAs of nearly the same features give latents that differ by little more than a rotation. The
first and last convolution of a U-Net take that up, and training goes on from there instead of from random weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from bassbench.errors import BadInputError, exit_on_bad_input
from bassbench.songs.clips import cached_clip, clip_requests
from reference_model.autoencoder import Autoencoder
from reference_model.latents import encode_pair, encoder_hash
from reference_model.loading import WEIGHTS
from reference_model.unet import UNet


@dataclass(frozen=True)
class Rebase:
    """The autoencoders before and after, and the U-Net."""

    output: Path
    """Where the moved U-Net goes."""
    mix_autoencoder: Path
    """The new ones."""
    bass_autoencoder: Path
    unet: Path = WEIGHTS / "small" / "unet.safetensors"
    old_mix_autoencoder: Path = WEIGHTS / "small" / "mix_autoencoder.safetensors"
    old_bass_autoencoder: Path = WEIGHTS / "small" / "bass_autoencoder.safetensors"
    songs: int = 120
    """Training songs whose latents the maps are fitted on."""
    families: tuple[str, ...] = ()
    """Rendering families that they are rendered by (`bassbench.songs.families`), or "all"."""

    def run(self) -> None:
        """Fit the maps, move the weights, say how well the old latents can be told from the new.

        Raises:
            BadInputError: files that cannot be read, or latents of different numbers of dimensions.
        """
        old = [Autoencoder.from_pretrained(path) for path in (self.old_mix_autoencoder, self.old_bass_autoencoder)]
        new = [Autoencoder.from_pretrained(path) for path in (self.mix_autoencoder, self.bass_autoencoder)]
        if [coder.config.dims for coder in old] != [coder.config.dims for coder in new]:
            raise BadInputError("the autoencoders have latents of different numbers of dimensions; train a new U-Net")
        requests = clip_requests("train", self.songs, samples=None, subset=True, effects=True, families=self.families)
        clips = [cached_clip(request) for request in requests]
        before, after = ([encode_pair(mix, bass, clip.mix, clip.bass) for clip in clips] for mix, bass in (old, new))
        mix_map, mix_share = linear_map((pair[0] for pair in after), (pair[0] for pair in before))
        bass_map, bass_share = linear_map((pair[1] for pair in after), (pair[1] for pair in before))
        unet = moved(UNet.from_pretrained(self.unet), mix_map, rotation(bass_map))
        hashes = {name: encoder_hash(coder) for name, coder in zip(("mix", "bass"), new, strict=True)}
        unet.save_pretrained(self.output, encoders=hashes)
        print(f"{self.output}: the old latents' variance told by the new: mix {mix_share:.3f}, bass {bass_share:.3f}")


def linear_map(sources: Iterable[np.ndarray], targets: Iterable[np.ndarray]) -> tuple[Tensor, float]:
    """Least-squares matrix `(dims, dims)` from latents `(dims, frames)` to others, and the share of variance told."""
    source, target = (np.concatenate(list(parts), axis=1).astype(np.float64) for parts in (sources, targets))
    matrix = np.linalg.lstsq(source.T, target.T, rcond=None)[0].T
    share = 1 - np.square(target - matrix @ source).sum() / np.square(target).sum()
    return torch.from_numpy(matrix).float(), float(share)


def rotation(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix: what is noised and denoised must keep white noise white."""
    left, _, right = torch.linalg.svd(matrix)
    return left @ right


def moved(unet: UNet, mix_map: Tensor, bass_rotation: Tensor) -> UNet:
    """The U-Net for new latents, given the map from new to old ones of the mix and the rotation of the bass."""
    dims, weights = unet.config.bass_dims, {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    noisy, mix = weights["input.weight"][:, :dims], weights["input.weight"][:, dims:]
    parts = [torch.einsum("oikt,ij->ojkt", part, matrix) for part, matrix in ((noisy, bass_rotation), (mix, mix_map))]
    weights["input.weight"] = torch.cat(parts, dim=1)
    weights["output.weight"] = torch.einsum("oikt,oj->jikt", weights["output.weight"], bass_rotation)
    weights["output.bias"] = weights["output.bias"] @ bass_rotation
    unet.load_state_dict(weights)
    return unet


def main() -> None:
    """Command line."""
    with exit_on_bad_input():
        tyro.cli(Rebase, description=__doc__).run()


if __name__ == "__main__":
    main()
