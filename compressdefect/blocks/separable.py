"""Depthwise-separable convolution (Howard et al., 2017): space per channel, then channels per pixel."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from compressdefect.blocks.conv import Conv
from compressdefect.cost.piece import Piece, Shape, chain, convolution


class Separable(nn.Sequential):
    """(N, C, H, W) → the same: depthwise k×k, then 1×1, each with batch norm and ReLU."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__(Conv(channels, channels, kernel, groups=channels), Conv(channels, channels, kernel=1))


@lru_cache(maxsize=8192)
def separable_cost(shape: Shape, kernel: int = 3) -> Piece:
    """Closed form of `Separable`."""
    channels = shape[0]
    return chain(shape, convolution(shape, channels, kernel, 1, channels), convolution(shape, channels, 1))
