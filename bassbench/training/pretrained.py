"""Networks from weight files: the configuration in the header, every tensor where it belongs, or a clear refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from bassbench.errors import BadInputError
from bassbench.training.checkpoint import load_tensors, metadata_of

Network = TypeVar("Network", bound=torch.nn.Module)


def load_pretrained(
    path: str | Path, kind: str, build: Callable[[dict[str, Any]], Network], device: torch.device | str = "cpu"
) -> Network:
    """The network of a file that holds weights of `kind`, in float32, frozen and in evaluation mode.

    `build` makes the empty network from the configuration in the file's header.

    Raises:
        BadInputError: the file is missing, damaged, of another kind, or its tensors do not fit its configuration.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("kind") != kind:
        raise BadInputError(f"{path}: holds weights of kind '{metadata.get('kind', 'unknown')}', expected '{kind}'")
    config = metadata.get("config")
    try:
        if not isinstance(config, dict):
            raise TypeError(f"no mapping but {type(config).__name__}")
        with torch.device("meta"):  # a configuration can ask for more memory than there is
            expected = {name: tensor.shape for name, tensor in build(config).state_dict().items()}
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"{path}: the configuration in the header cannot be used ({reason}); get it anew") from None
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise BadInputError(f"{path}: the tensors do not fit the configuration in the header; get the file anew")
    network = build(config)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.to(device).eval().requires_grad_(False)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_tensors` wrote in the header of a file, without its tensors; empty for a file of another origin.

    Raises:
        BadInputError: the file or its header cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return metadata_of(path, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path}: not a readable safetensors file ({error}); fetch or train it again") from None


def hub_folder(name: str, revision: str) -> Path:
    """Folder with the weight files of `name` ("org/model") on the Hugging Face Hub, fetched once into its cache.

    `revision` is a commit or a tag.

    Raises:
        BadInputError: there is no such model or revision, or it is not in the cache and the Hub cannot be reached.
    """
    import huggingface_hub  # slow to import, and most weights are local

    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=["*.safetensors"]))
    except (OSError, ValueError) as error:  # its errors of network, name and revision are all one or the other
        raise BadInputError(
            f"{name}@{revision}: cannot be fetched from the Hugging Face Hub ({type(error).__name__}); "
            "check name, revision and network, or give a local folder"
        ) from None


def find_device(name: str) -> torch.device:
    """The device "cpu", "cuda", "cuda:1", ..., or for "auto" the GPU if there is one.

    Raises:
        BadInputError: there is no such device, or it cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInputError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); try cpu") from None
    return device


def has_fast_bfloat16(device_type: str) -> bool:
    """Whether a device ("cpu", "cuda", ...) computes in bfloat16 faster than in float32: GPUs, CPUs made for it."""
    made_for_it = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return made_for_it if device_type == "cpu" else True
