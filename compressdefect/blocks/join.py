"""Maps brought together: concatenated along their channels, or added."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compressdefect.blocks.part import Part
from compressdefect.cost.piece import Piece, Shape, joint


class Concat(nn.Module):
    """Maps (N, Cᵢ, H, W) → (N, ΣCᵢ, H, W)."""

    def __init__(self, *channels: int) -> None:
        super().__init__()

    def forward(self, *maps: Tensor) -> Tensor:
        """Concatenate, in order."""
        return torch.cat(maps, dim=1)


class Sum(nn.Module):
    """Two maps (N, C, H, W) → the same."""

    def __init__(self, *channels: int) -> None:
        super().__init__()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Add."""
        return one + other


def concat_cost(*shapes: Shape) -> Piece:
    """Closed form of `Concat`."""
    return joint(shapes, (sum(shape[0] for shape in shapes), *shapes[0][1:]))


def sum_cost(*shapes: Shape) -> Piece:
    """Closed form of `Sum`."""
    return joint(shapes, shapes[0])


CONCAT = Part(Concat, concat_cost, (), "concat")
SUM = Part(Sum, sum_cost, (), "sum")
