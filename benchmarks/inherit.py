"""Weights that a design takes over from one it was mutated from, so that a few steps tell what the mutation is worth.

Layers are matched by their names in the two networks. What has another width is cut, or padded with the weights that
the child was initialised with; what is of another kind keeps those altogether. Then weights are shrunk and perturbed
(Ash and Adams, "On Warm-Starting Neural Network Training", 2020): trained weights alone learn less from new steps than
weights with some noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

KEPT = 0.8  # of a weight that is taken over; the rest is the child's own initial weight


@torch.no_grad()
def inherit(network: nn.Module, tensors: Mapping[str, Tensor], kept: float = KEPT) -> float:
    """Give a freshly initialised network what it can use of another one's ``state_dict``.

    Statistics of batch norms are taken over too, but should be measured again before they are used.

    Args:
        network: changed in place.
        tensors: the parent's ``state_dict``.
        kept: λ in λ · parent + (1 − λ) · own, for the weights of convolutions and linear layers.

    Returns:
        The share of the network's parameters that come from the parent.
    """
    parameters = {id(parameter) for parameter in network.parameters()}
    taken = total = 0
    for name, own in network.state_dict(keep_vars=True).items():
        is_parameter = id(own) in parameters
        total += own.numel() if is_parameter else 0
        parent = tensors.get(name)
        if parent is None or not own.ndim or not _fit(own, parent):
            continue
        shared = tuple(slice(min(a, b)) for a, b in zip(own.shape, parent.shape, strict=True))
        weight = kept if own.ndim > 1 else 1.0
        own.data[shared] = weight * parent[shared] + (1 - weight) * own.data[shared]
        taken += parent[shared].numel() if is_parameter else 0
    return taken / max(total, 1)


def _fit(own: Tensor, parent: Tensor) -> bool:
    """Whether two tensors of one name are of layers of one kind: only their channels may differ.

    A depthwise convolution has one channel where another has many; it cannot use these.
    """
    if own.ndim != parent.ndim or own.shape[2:] != parent.shape[2:]:
        return False
    return own.ndim < 2 or (own.shape[1] == 1) == (parent.shape[1] == 1)
