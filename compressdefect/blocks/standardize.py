"""Contrast normalisation: each image to zero mean and unit spread, per channel (instance normalisation).

Lamps age, exposures differ and plates are unevenly lit; a network that sees contrast instead of brightness need not
learn all of that from a few hundred images. The price is that a defect which darkens the whole image alike is not
seen, so a space offers this as a choice. `eps` keeps the noise of a flat image from being blown up.

It has no statistics to learn: training and evaluation are the same function.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressdefect.blocks.part import Part
from compressdefect.cost.piece import Piece, Shape, operator

EPS = 0.02  # variance on the scale of a normalised dataset: a spread of a seventh of the usual one


class Standardize(nn.Module):
    """(N, C, H, W) → the same, any H and W."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var + eps), over each image's H and W."""
        if self.training and x.device.type == "cpu":  # the same, in a third of the time
            rows = x.reshape(-1, x.shape[2] * x.shape[3])
            return functional.layer_norm(rows, rows.shape[1:], eps=EPS).view(x.shape)
        return torch.instance_norm(x, None, None, None, None, True, 0.0, EPS, False)


@lru_cache(maxsize=256)
def standardize_cost(shape: Shape) -> Piece:
    """Closed form of `Standardize`: one node, nothing to learn, nothing that counts as macs."""
    return operator(shape, shape)


STANDARDIZE = Part(Standardize, standardize_cost, (), "instance normalisation")
