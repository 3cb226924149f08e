"""Residual 3×3 (He et al., 2016, basic block): the prototype that LightDefectNet's exploration starts from."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor, nn

from compressdefect.blocks.conv import Conv, start_as_identity
from compressdefect.cost.piece import Piece, Shape, chain, convolution, skip


class Residual(nn.Module):
    """(N, C, H, W) → the same: ReLU(x + conv3×3(conv3×3(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels), start_as_identity(Conv(channels, channels, relu=False)))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the input."""
        return self.relu(x + self.body(x))


@lru_cache(maxsize=8192)
def residual_cost(shape: Shape) -> Piece:
    """Closed form of `Residual`."""
    step = convolution(shape, shape[0])
    return skip(shape, chain(shape, step, step))
