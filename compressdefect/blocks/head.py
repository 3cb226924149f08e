"""Heads: what is read off the last map, for the image as a whole or for each of its pixels.

`ColumnHead` has one or two columns of fully-connected layers (LightDefectNet, §3). Each column ends in its own softmax
and the two are averaged; the training adds the discrepancy between them. The columns' weights lie in one matrix, so the
head is one matrix product.
"""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor, nn

from compressdefect.blocks.part import Part
from compressdefect.cost.piece import Piece, Shape, chain, convolution, operator


class ColumnHead(nn.Module):
    """(N, C, H, W) → logits (N, columns, classes)."""

    def __init__(self, channels: int, classes: int, columns: int = 1) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, columns * classes)
        self.columns, self.classes = columns, classes

    def forward(self, x: Tensor) -> Tensor:
        """Pool, then every column at once."""
        return self.linear(self.pool(x).flatten(1)).view(-1, self.columns, self.classes)


@lru_cache(maxsize=4096)
def head_cost(shape: Shape, classes: int, columns: int = 1) -> Piece:
    """Closed form of `ColumnHead`; the output's columns stand where a map has its rows."""
    pooled, logits = (shape[0], 1, 1), (classes, columns, 1)
    weights = shape[0] * columns * classes
    fully_connected = operator(pooled, logits, weights + columns * classes, weights)
    return chain(shape, operator(shape, pooled), operator(pooled, pooled), fully_connected, operator(logits, logits))


def pixel_head(channels: int, classes: int) -> nn.Conv2d:
    """(N, C, H, W) → logits (N, classes, H, W)."""
    return nn.Conv2d(channels, classes, 1)


def pixel_head_cost(shape: Shape, classes: int) -> Piece:
    """Closed form of `pixel_head`."""
    return convolution(shape, classes, 1, norm=False)


@lru_cache(maxsize=256)
def head_part(classes: int, columns: int = 1) -> Part:
    """A `ColumnHead` as data."""
    return Part(ColumnHead, head_cost, (classes, columns), f"average pool, {columns} fully-connected")


@lru_cache(maxsize=256)
def pixel_head_part(classes: int) -> Part:
    """A `pixel_head` as data."""
    return Part(pixel_head, pixel_head_cost, (classes,), "conv 1×1")
