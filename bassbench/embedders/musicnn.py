"""MusiCNN, the music tagger of Pons & Serra (2019, arXiv 1909.06654), in torch: its 200-d embedding.

Conventions: mono audio at 16 kHz; log-mel patches `(batch, 187 frames, 96 bands)`, 3 s each. The weights are those
that the authors trained on the Million Song Dataset (ISC licence, see `data/LICENSE.musicnn`). Outputs equal the
authors' TensorFlow graph to 1e-4 when it is fed a float32 log-mel; their own front end computes it in float16, which
overflows on loud frames, so it is not copied. The tags, which come after the embedding, are left out.

The first layer takes for every frame each filter's highest response over the spectrum. Its filters are the authors'
2-d convolutions over one channel; they are computed otherwise, with a fraction of the operations, and their responses
to a few frames or bands at a time, so that these stay in a processor's cache.
"""

import functools
import hashlib
from importlib import resources

import librosa
import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from bassbench.embedders.embedder import Embedder, WindowFunction
from bassbench.errors import BadInputError

RATE = 16_000
FFT = 512
HOP = 256
BANDS = 96
PATCH_FRAMES = 187
PENULTIMATE = 200
WEIGHTS = "musicnn.safetensors"
WEIGHTS_SHA256 = "c97684b574a46104657d0608c771d1999c90fc420bde6b4943eecbc009f97fd1"
_FEW_ROWS, _MANY_ROWS = 17, 4096  # frames of patches (187 = 11 x 17) at a time, on a processor and on a GPU
_FEW_BANDS = 16
_BLOCK = 8


class LogMel(nn.Module):
    """Audio `(batch, samples)` at 16 kHz -> `(batch, frames, 96)`, log10(10000 mel power + 1).

    Frame i covers samples 256 i to 256 i + 511: pad by 256 on both sides for frames centred as the authors' are.
    """

    window: Tensor
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        basis = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=BANDS))
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(audio, FFT, HOP, window=self.window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log10(10_000 * (self.basis @ power) + 1).mT


class HighestResponse(nn.Module):
    """A convolution of log-mel `(batch, bands, frames)` to `(batch, filters, frames)`.

    It is pooled over bands after rectifying and normalising.

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


class MusiCNN(nn.Module):
    """Log-mel patches `(batch, 187, 96)` -> embedding `(batch, 200)`.

    It is the penultimate layer after its batch normalisation (`penultimate` in the authors' package).
    """

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = batch_norm(1)
        self.timbral = nn.ModuleList([TimbralFilters(204, height, bands=BANDS) for height in (38, 67)])
        self.temporal = nn.ModuleList([TemporalFilters(51, length) for length in (128, 64, 32)])
        self.middle = nn.ModuleList([nn.Conv1d(channels, 64, 7, padding=3) for channels in (561, 64, 64)])
        self.middle_norms = nn.ModuleList([batch_norm(64) for _ in range(3)])
        self.pooled_norm = batch_norm(2 * (561 + 3 * 64))
        self.dense = nn.Linear(2 * (561 + 3 * 64), PENULTIMATE)
        self.dense_norm = batch_norm(PENULTIMATE)

    def forward(self, patches: Tensor) -> Tensor:
        patch = self.input_norm(patches.unsqueeze(1)).squeeze(1).mT
        front = torch.cat([filters(patch) for filters in (*self.timbral, *self.temporal)], dim=1)
        layers, latest = [front], front
        for index, (convolution, norm) in enumerate(zip(self.middle, self.middle_norms, strict=True)):
            response = norm(functional.relu(convolution(latest)))
            latest = response if index == 0 else latest + response
            layers.append(latest)
        features = torch.cat(layers, dim=1)
        pooled = torch.stack([features.amax(-1), features.mean(-1)], dim=-1).flatten(1)
        embedding: Tensor = self.dense_norm(functional.relu(self.dense(self.pooled_norm(pooled))))
        return embedding


def load_musicnn(device: str | torch.device = "cpu") -> MusiCNN:
    """The network with the shipped weights, ready for inference.

    Raises:
        BadInputError: the weights file is missing or not the one that this version of the package ships.
    """
    source = resources.files("bassbench") / "data" / WEIGHTS
    try:
        data = source.read_bytes()
    except OSError as error:
        raise BadInputError(f"{source}: cannot read the MusiCNN weights ({error}); reinstall bassbench") from None
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise BadInputError(f"{source}: not the MusiCNN weights of this version; reinstall bassbench")
    model = MusiCNN()
    state = safetensors.torch.load(data)
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith("output.")})
    return model.requires_grad_(False).eval().to(device)


def patch_count(samples: int, hop_frames: int = PATCH_FRAMES) -> int:
    """How many whole 3 s patches, `hop_frames` apart, `samples` at 16 kHz hold."""
    return max((samples // HOP + 1 - PATCH_FRAMES) // hop_frames + 1, 0)


@torch.inference_mode()
def musicnn_embeddings(
    model: MusiCNN, audio: np.ndarray, *, hop_frames: int = PATCH_FRAMES, batch: int = 4
) -> np.ndarray:
    """Embeddings `(patches, 200)` of mono audio `(samples,)` at 16 kHz.

    Patches start `hop_frames` frames of 16 ms apart; what does not fill a patch at the end is left out, as in the
    authors' package. Memory is bounded by `batch` patches; on a CPU more than a few at a time gain nothing.

    Raises:
        BadInputError: the audio is not mono or shorter than one patch.
    """
    patches = patch_count(audio.shape[-1], hop_frames)
    if audio.ndim != 1 or patches == 0:
        raise BadInputError(f"MusiCNN needs mono audio of {PATCH_FRAMES * HOP / RATE:.3f} s or more at 16 kHz")
    device = model.dense.weight.device
    front_end = LogMel().to(device)
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)), (HOP, HOP))
    embeddings = []
    # TF32 convolutions would cost a thousandth of the value on recent GPUs.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for first in range(0, patches, batch):
            last = min(first + batch, patches) - 1
            start, end = first * hop_frames * HOP, (last * hop_frames + PATCH_FRAMES - 1) * HOP + FFT
            frames = front_end(padded[None, start:end].to(device))[0]
            embeddings.append(model(frames.unfold(0, PATCH_FRAMES, hop_frames).mT).cpu())
    return torch.cat(embeddings).numpy()


def _loader(device: str) -> WindowFunction:
    batch = 4 if device == "cpu" else 64  # more gain nothing on a processor
    return functools.partial(musicnn_embeddings, load_musicnn(device), batch=batch)


# Patches side by side, as the authors' package cuts them: overlapping ones by half moved no anchor of 50 songs by 2 %.
MUSICNN = Embedder(
    name="musicnn",
    sample_rate=RATE,
    window=PATCH_FRAMES * HOP / RATE,
    hop=PATCH_FRAMES * HOP / RATE,
    dim=PENULTIMATE,
    loader=_loader,
    weights_sha256=WEIGHTS_SHA256,
    weights_licence="ISC",
)
