"""The first layer of MusiCNN: for every frame, each filter's highest response over the spectrum.

Conventions: patches are log-mel `(batch, bands, frames)`, results `(batch, filters, frames)`. The filters are the
authors' 2-d convolutions over one channel; they are computed otherwise, with a fraction of the operations, and their
responses to a few frames or bands at a time, so that these stay in a processor's cache.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_FEW_ROWS, _MANY_ROWS = 17, 4096  # frames of patches (187 = 11 x 17) at a time, on a processor and on a GPU
_FEW_BANDS = 16
_BLOCK = 8


class HighestResponse(nn.Module):
    """A convolution of bands and frames, pooled over bands after rectifying and normalising.

    A negative scale of the normalisation turns the order of responses round: with such filters negated, the highest
    response is what matters for all. `transform` is called whenever weights have been loaded.
    """

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = batch_norm(convolution.out_channels)
        self.register_load_state_dict_post_hook(lambda module, _: module.transform())

    def transform(self) -> None:
        """Prepare what is computed with from the weights."""
        raise NotImplementedError

    def highest(self, patch: Tensor) -> Tensor:
        """The highest response, without bias, of the filters times `signs`: `(batch, frames, filters)`."""
        raise NotImplementedError

    @property
    def signs(self) -> Tensor:
        """-1 for the filters whose lowest response is the highest once normalised, else 1."""
        return torch.where(self.norm.weight < 0, -1.0, 1.0)

    def forward(self, patch: Tensor) -> Tensor:
        assert self.convolution.bias is not None
        response = self.highest(patch) * self.signs + self.convolution.bias
        return self.norm(functional.relu(response.mT))


class TimbralFilters(HighestResponse):
    """Filters 7 frames long and most of the spectrum high, pooled to their highest response over all pitches.

    By a Fourier transform along the bands, whose number is even: at each of its frequencies a product summed over 7
    frames, then the inverse transform as a matrix product. Seen from the middle pitch, a pitch above has the cosine
    sums of the one as far below and the opposite of its sine sums, so the higher of the two is the cosine sum plus the
    sine sum's magnitude.
    """

    filters: Tensor
    inverse: Tensor

    def __init__(self, filters: int, height: int, *, bands: int) -> None:
        super().__init__(nn.Conv1d(height, filters, 7, padding=3))
        self.bands = bands
        frequencies, pitches = torch.arange(bands // 2 + 1).double(), bands - height + 1
        above_middle = torch.arange((pitches - 1) / 2 % 1, pitches / 2, dtype=torch.float64)
        angles = 2 * np.pi / bands * torch.outer(above_middle, frequencies)
        self.register_buffer("inverse", torch.stack([angles.cos(), angles.sin()]).float(), persistent=False)
        self.register_buffer("filters", torch.zeros(2, len(frequencies), 2 * 7, filters), persistent=False)

    @torch.no_grad()
    def transform(self) -> None:
        """Prepare the filters' Fourier transform, `filters`: (cosine and sine sums, frequencies, 2 x 7, filters)."""
        weight = (self.convolution.weight * self.signs[:, None, None]).double()
        frequencies = torch.arange(self.bands // 2 + 1, device=weight.device)[:, None]
        middle = (self.bands - weight.shape[1]) / 2
        both_sides = torch.full_like(frequencies, 2)  # of the spectrum of a real signal
        both_sides[[0, -1]] = 1
        phases = torch.exp(2j * np.pi / self.bands * middle * frequencies) * both_sides / self.bands
        spectra = (torch.fft.rfft(weight, n=self.bands, dim=1).conj() * phases).permute(1, 2, 0)
        cosines, sines = (spectra.real, -spectra.imag), (spectra.imag, spectra.real)
        self.filters = torch.stack([torch.cat(cosines, dim=1), torch.cat(sines, dim=1)]).float().contiguous()

    def highest(self, patch: Tensor) -> Tensor:
        """See `HighestResponse`."""
        batch, _, frames = patch.shape
        spectra = torch.view_as_real(torch.fft.rfft(functional.pad(patch, (3, 3)), dim=1))
        windows = spectra.unfold(2, 7, 1).permute(1, 0, 2, 3, 4).flatten(3).flatten(1, 2)
        rows = min(_FEW_ROWS if patch.device.type == "cpu" else _MANY_ROWS, batch * frames)
        _, frequencies, _, filters = self.filters.shape
        # Written to the same place time and again: fresh memory would cost a tenth more time.
        products = patch.new_empty(2, frequencies, rows, filters)
        sums = patch.new_empty(2, self.inverse.shape[1], rows * filters)
        highest = patch.new_empty(batch * frames, filters)
        for first in range(0, batch * frames, rows):
            these = slice(min(first, batch * frames - rows), min(first + rows, batch * frames))
            torch.matmul(windows[:, these], self.filters, out=products)
            cosines, sines = torch.bmm(self.inverse, products.flatten(2), out=sums)
            torch.amax(cosines.add_(sines.abs_()), dim=0, out=highest[these].view(-1))
        return highest.view(batch, frames, filters)


class TemporalFilters(HighestResponse):
    """Filters one band high and 0.5 to 2 s long, pooled to their highest response over the bands.

    As matrix products that give 8 frames from one row of samples, which spares copies of the patch for every frame.
    """

    filters: Tensor

    def __init__(self, filters: int, length: int) -> None:
        super().__init__(nn.Conv1d(1, filters, length))
        self.register_buffer("filters", torch.zeros(length + _BLOCK - 1, _BLOCK * filters), persistent=False)

    @torch.no_grad()
    def transform(self) -> None:
        """Prepare `filters` `(samples of a row, 8 x filters)`: each filter at each of its places in the row."""
        weight = self.convolution.weight[:, 0].mT * self.signs
        places = [functional.pad(weight, (0, 0, place, _BLOCK - 1 - place)) for place in range(_BLOCK)]
        self.filters = torch.cat(places, dim=1)

    def highest(self, patch: Tensor) -> Tensor:
        """See `HighestResponse`."""
        batch, bands, frames = patch.shape
        row, before = len(self.filters), (self.convolution.kernel_size[0] - 1) // 2
        blocks = -(-frames // _BLOCK)
        padded = functional.pad(patch, (before, row - _BLOCK + blocks * _BLOCK - frames - before))
        rows = padded.unfold(2, row, _BLOCK).transpose(0, 1).reshape(bands, batch * blocks, row)
        few = [(part.flatten(0, 1) @ self.filters).view(len(part), -1).amax(0) for part in rows.split(_FEW_BANDS)]
        highest = torch.stack(few).amax(0)
        return highest.view(batch, blocks * _BLOCK, -1)[:, :frames]


def batch_norm(channels: int) -> nn.modules.batchnorm._BatchNorm:
    """Batch normalisation with TensorFlow's epsilon, over `(batch, channels, ...)`."""
    return nn.BatchNorm2d(1, eps=1e-3) if channels == 1 else nn.BatchNorm1d(channels, eps=1e-3)
