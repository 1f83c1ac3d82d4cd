"""The bass autoencoder's latents as an embedder of the suite (entry point in the group "bassbench.embedders")."""

import hashlib

import numpy as np
import torch

from bassbench.audio import SAMPLE_RATE
from bassbench.embedders.embedder import Embedder, WindowFunction
from bassbench.errors import BadInputError
from reference_model import codec
from reference_model.autoencoder import Autoencoder
from reference_model.loading import WEIGHTS
from reference_model.presets import R_TIME

_FILE = WEIGHTS / "small" / "bass_autoencoder.safetensors"
_FRAMES = 32  # 3.0 s, like MusiCNN's windows


def embedder() -> Embedder:
    """Mean and deviation over 3.0 s of the 32 latent dimensions of the shipped bass autoencoder, 64 numbers a window.

    A system that decodes with this very autoencoder is favoured by it: use another embedder to rank such systems.

    Raises:
        BadInputError: the shipped weights are missing.
    """
    try:
        digest = hashlib.sha256(_FILE.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInputError(f"{_FILE}: cannot read the weights ({error.strerror}); reinstall bassbench") from None
    seconds = _FRAMES * R_TIME / SAMPLE_RATE
    return Embedder(
        "reference", SAMPLE_RATE, seconds, seconds, 64, _load, digest, "see reference_model/weights/LICENSE"
    )


def _load(device: str) -> WindowFunction:
    autoencoder = Autoencoder.from_pretrained(_FILE, device)

    @torch.inference_mode()
    def embeddings(audio: np.ndarray) -> np.ndarray:
        stereo = torch.from_numpy(np.ascontiguousarray(np.broadcast_to(audio, (1, 2, len(audio))), dtype=np.float32))
        latent = codec.encode(autoencoder, stereo.to(device))[0].float().cpu()
        windows = latent[:, : len(audio) // (_FRAMES * R_TIME) * _FRAMES].unflatten(1, (-1, _FRAMES))
        return torch.cat([windows.mean(dim=2), windows.std(dim=2)]).T.numpy()

    return embeddings
