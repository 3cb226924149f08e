"""Convolution, batch norm and ReLU6 with "same" padding: the node of LW CNN, with kernels of any two sides.

A map of H rows leaves as ⌈H/stride⌉ rows whatever the kernel: odd sides are padded evenly, even ones by one row or
column more at the end. The padding is part of the convolution in an exported graph.
"""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from compressdefect.blocks.batch_norm import BatchNorm
from compressdefect.blocks.conv import convolve
from compressdefect.cost.piece import Piece, Shape, operator

Kernel = tuple[int, int]  # height, width


class SameConv(nn.Sequential):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉): convolution without bias, batch norm, ReLU6 if asked."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: Kernel = (1, 1),
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        relu: bool = True,
    ) -> None:
        high, wide = (dilation * (side - 1) for side in kernel)
        super().__init__()
        if high % 2 or wide % 2:
            self.append(nn.ZeroPad2d((0, wide % 2, 0, high % 2)))
        if dilation == 1:
            self.append(convolve(inputs, channels, kernel, stride, groups))
        else:
            padding = (high // 2, wide // 2)
            self.append(nn.Conv2d(inputs, channels, kernel, stride, padding, dilation, groups, bias=False))
        self.append(BatchNorm(channels))
        if relu:
            self.append(nn.ReLU6(inplace=True))


@lru_cache(maxsize=65536)
def same_conv_cost(shape: Shape, channels: int, kernel: Kernel = (1, 1), stride: int = 1, groups: int = 1) -> Piece:
    """Closed form of `SameConv`, of any dilation."""
    depth, height, width = shape
    out = (channels, -(-height // stride), -(-width // stride))
    weights = channels * (depth // groups) * kernel[0] * kernel[1]
    return operator(shape, out, weights + 2 * channels, weights * out[1] * out[2])
