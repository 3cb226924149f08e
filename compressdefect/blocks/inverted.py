"""Inverted bottleneck (Sandler et al., 2018): expand, depthwise, project linearly, add.

Deviation: ReLU in place of ReLU6, which no runtime fuses better and int8 does not need.
"""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor, nn

from compressdefect.blocks.conv import Conv, start_as_identity
from compressdefect.cost.piece import Piece, Shape, chain, convolution, skip


class Inverted(nn.Module):
    """(N, C, H, W) → the same: x + project(depthwise k×k(expand(x))), C·expand channels inside."""

    def __init__(self, channels: int, kernel: int = 3, expand: int = 2) -> None:
        super().__init__()
        inner = channels * expand
        self.body = nn.Sequential(
            Conv(channels, inner, kernel=1),
            Conv(inner, inner, kernel, groups=inner),
            start_as_identity(Conv(inner, channels, kernel=1, relu=False)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the input."""
        return x + self.body(x)


@lru_cache(maxsize=8192)
def inverted_cost(shape: Shape, kernel: int = 3, expand: int = 2) -> Piece:
    """Closed form of `Inverted`."""
    channels, height, width = shape
    inner = (channels * expand, height, width)
    grow = convolution(shape, inner[0], 1)
    space = convolution(inner, inner[0], kernel, 1, inner[0])
    return skip(shape, chain(shape, grow, space, convolution(inner, channels, 1)))
