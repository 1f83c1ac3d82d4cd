"""MusiCNN, the music tagger of Pons & Serra (2019, arXiv 1909.06654), in torch: 50 tags and a 200-d embedding.

Conventions: mono audio at 16 kHz; log-mel patches `(batch, 187 frames, 96 bands)`, 3 s each. The weights are those
that the authors trained on the Million Song Dataset (ISC licence, see `data/LICENSE.musicnn`). Outputs equal the
authors' TensorFlow graph to 1e-4 when it is fed a float32 log-mel; their own front end computes it in float16, which
overflows on loud frames, so it is not copied.
"""

import hashlib
from importlib import resources

import librosa
import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from bassbench.embedders.musicnn_filters import TemporalFilters, TimbralFilters, batch_norm
from bassbench.errors import BadInputError

SAMPLE_RATE = 16_000
FFT = 512
HOP = 256
BANDS = 96
PATCH_FRAMES = 187
PENULTIMATE = 200
WEIGHTS = "musicnn.safetensors"
WEIGHTS_SHA256 = "c97684b574a46104657d0608c771d1999c90fc420bde6b4943eecbc009f97fd1"

# The labels of the MSD model, in the order of its outputs and in their original spelling.
# fmt: off
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)
# fmt: on


class LogMel(nn.Module):
    """Audio `(batch, samples)` at 16 kHz -> `(batch, frames, 96)`, log10(10000 mel power + 1).

    Frame i covers samples 256 i to 256 i + 511: pad by 256 on both sides for frames centred as the authors' are.
    """

    window: Tensor
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        basis = torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=BANDS))
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(audio, FFT, HOP, window=self.window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log10(10_000 * (self.basis @ power) + 1).mT


class MusiCNN(nn.Module):
    """Log-mel patches `(batch, 187, 96)` -> tag probabilities `(batch, 50)` and embedding `(batch, 200)`.

    The embedding is the penultimate layer after its batch normalisation (`penultimate` in the authors' package).
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
        self.output = nn.Linear(PENULTIMATE, len(TAGS))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        patch = self.input_norm(patches.unsqueeze(1)).squeeze(1).mT
        front = torch.cat([filters(patch) for filters in (*self.timbral, *self.temporal)], dim=1)
        layers, latest = [front], front
        for index, (convolution, norm) in enumerate(zip(self.middle, self.middle_norms, strict=True)):
            response = norm(functional.relu(convolution(latest)))
            latest = response if index == 0 else latest + response
            layers.append(latest)
        features = torch.cat(layers, dim=1)
        pooled = torch.stack([features.amax(-1), features.mean(-1)], dim=-1).flatten(1)
        embedding = self.dense_norm(functional.relu(self.dense(self.pooled_norm(pooled))))
        return self.output(embedding).sigmoid(), embedding


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
    model.load_state_dict(safetensors.torch.load(data))
    return model.requires_grad_(False).eval().to(device)


def patch_count(samples: int, hop_frames: int = PATCH_FRAMES) -> int:
    """How many whole 3 s patches, `hop_frames` apart, `samples` at 16 kHz hold."""
    return max((samples // HOP + 1 - PATCH_FRAMES) // hop_frames + 1, 0)


@torch.inference_mode()
def tags_and_embeddings(
    model: MusiCNN, audio: np.ndarray, *, hop_frames: int = PATCH_FRAMES, batch: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Tag probabilities `(patches, 50)` and embeddings `(patches, 200)` of mono audio `(samples,)` at 16 kHz.

    Patches start `hop_frames` frames of 16 ms apart; what does not fill a patch at the end is left out, as in the
    authors' package. Memory is bounded by `batch` patches; on a CPU more than a few at a time gain nothing.

    Raises:
        BadInputError: the audio is not mono or shorter than one patch.
    """
    patches = patch_count(audio.shape[-1], hop_frames)
    if audio.ndim != 1 or patches == 0:
        raise BadInputError(f"MusiCNN needs mono audio of {PATCH_FRAMES * HOP / SAMPLE_RATE:.3f} s or more at 16 kHz")
    device = model.output.weight.device
    front_end = LogMel().to(device)
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)), (HOP, HOP))
    tags, embeddings = [], []
    # TF32 convolutions would cost a thousandth of the value on recent GPUs.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for first in range(0, patches, batch):
            last = min(first + batch, patches) - 1
            start, end = first * hop_frames * HOP, (last * hop_frames + PATCH_FRAMES - 1) * HOP + FFT
            frames = front_end(padded[None, start:end].to(device))[0]
            probabilities, penultimate = model(frames.unfold(0, PATCH_FRAMES, hop_frames).mT)
            tags.append(probabilities.cpu())
            embeddings.append(penultimate.cpu())
    return torch.cat(tags).numpy(), torch.cat(embeddings).numpy()
