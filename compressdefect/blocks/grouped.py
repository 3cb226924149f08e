"""Grouped 3×3 (Xie et al., 2017): cheap space within groups, then one pointwise convolution across them.

Deviation: ResNeXt's bottleneck narrows before the grouped convolution; here the width stays, columns are narrow.
"""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor, nn

from compressdefect.blocks.conv import Conv, start_as_identity
from compressdefect.cost.piece import Piece, Shape, chain, convolution, skip


class Grouped(nn.Module):
    """(N, C, H, W) → the same: ReLU(x + conv1×1(grouped conv3×3(x))); `groups` divides C."""

    def __init__(self, channels: int, groups: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv(channels, channels, groups=groups), start_as_identity(Conv(channels, channels, kernel=1, relu=False))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the input."""
        return self.relu(x + self.body(x))


@lru_cache(maxsize=8192)
def grouped_cost(shape: Shape, groups: int = 2) -> Piece:
    """Closed form of `Grouped`."""
    channels = shape[0]
    return skip(shape, chain(shape, convolution(shape, channels, 3, 1, groups), convolution(shape, channels, 1)))
