"""A network's weights as the bytes of a safetensors file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def weights_of(network: nn.Module) -> bytes:
    """All parameters and statistics of a network."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    return bytes(save(state))


def load_weights(network: nn.Module, content: bytes) -> None:
    """Give a network of the same design what ``weights_of`` kept.

    Raises:
        ValueError: it is damaged, or of another design.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        network.load_state_dict(load(content), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(str(error).strip().splitlines()[-1]) from error
