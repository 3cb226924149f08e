"""Bilinear resizing to the size of another map, of which nothing else is read."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from compressdefect.blocks.part import Part
from compressdefect.cost.piece import Piece, Shape, operator


class Resize(nn.Module):
    """(N, C, h, w) → (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Interpolate to a height and a width."""
        return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def resize_cost(shape: Shape, like: Shape) -> Piece:
    """Closed form of `Resize` to another map's size: no macs."""
    return operator(shape, (shape[0], *like[1:]))


RESIZE = Part(Resize, resize_cost, (), "resize")
