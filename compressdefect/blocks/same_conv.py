"""Convolution, batch norm and ReLU6 with "same" padding: the node of LW CNN, with kernels of any two sides.

A map of H rows leaves as ⌈H/stride⌉ rows whatever the kernel: odd sides are padded evenly, even ones by one row or
column more at the end. The padding is part of the convolution in an exported graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from torch import nn

from compressdefect.blocks.batch_norm import BatchNorm
from compressdefect.blocks.conv import convolve
from compressdefect.blocks.part import Part, Step, strided
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
def same_conv_cost(
    shape: Shape,
    channels: int,
    kernel: Kernel = (1, 1),
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    relu: bool = True,
) -> Piece:
    """Closed form of `SameConv`: neither the dilation nor the ReLU6 changes it."""
    depth, height, width = shape
    out = (channels, -(-height // stride), -(-width // stride))
    weights = channels * (depth // groups) * kernel[0] * kernel[1]
    return operator(shape, out, weights + 2 * channels, weights * out[1] * out[2])


@lru_cache(maxsize=4096)
def same_conv_part(channels: int, kernel: Kernel = (1, 1), stride: int = 1, *, relu: bool = True) -> Part:
    """A `SameConv` as data."""
    return Part(
        SameConv,
        same_conv_cost,
        (channels, kernel, stride, 1, 1, relu),
        f"conv {kernel[0]}×{kernel[1]}{strided(stride)}",
        (Step("conv", max(kernel), stride),) if stride > 1 else (),
        uncounted((kernel,), relu),
    )


def uncounted(kernels: Iterable[Kernel], relu: bool = True) -> tuple[str, ...]:
    """What a trace does not count of `SameConv`s: ReLU6, and the pads of even sides."""
    pads = any(side % 2 == 0 for kernel in kernels for side in kernel)
    return ("hardtanh",) * relu + ("pad",) * pads


class ReLU6(nn.ReLU6):
    """(N, C, H, W) → the same: a `SameConv`'s ReLU6 by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()


def relu6_cost(shape: Shape) -> Piece:
    """Closed form of `ReLU6` where it follows no convolution: no macs."""
    return operator(shape, shape)


RELU6 = Part(ReLU6, relu6_cost, (), "relu6", uncounted=("hardtanh",))
