"""Networks from weight files: the configuration in the header, every tensor where it belongs, or a clear refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from bassbench.bad_input import BadInputError
from bassbench.runs import load_tensors

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
    network = build(metadata.get("config", {}))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise BadInputError(f"{path}: the tensors do not fit the configuration in the header; get the file anew")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.to(device).eval().requires_grad_(False)


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
