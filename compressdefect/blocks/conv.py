"""Convolution, batch norm, ReLU: the node that every other block is made of."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from compressdefect.blocks.batch_norm import BatchNorm
from compressdefect.blocks.depthwise import DepthwiseConv2d
from compressdefect.blocks.part import Part, Step, strided
from compressdefect.blocks.pointwise import StridedPointwiseConv2d
from compressdefect.cost.piece import convolution


class Conv(nn.Sequential):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉): convolution without bias, batch norm, and ReLU if asked.

    Its cost is `cost.piece.convolution` with the same arguments.
    """

    def __init__(
        self, inputs: int, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [convolve(inputs, channels, (kernel, kernel), stride, groups), BatchNorm(channels)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def convolve(inputs: int, channels: int, kernel: tuple[int, int], stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias; of odd sides, with "same" padding, of even ones one row or column short of it."""
    if inputs == channels == groups and max(kernel) > 1:
        return DepthwiseConv2d(channels, kernel, stride)
    if max(kernel) == 1 and stride > 1:
        return StridedPointwiseConv2d(inputs, channels, stride, groups)
    padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    return nn.Conv2d(inputs, channels, kernel, stride, padding, groups=groups, bias=False)


def start_as_identity(branch: Conv) -> Conv:
    """Zero the γ of a branch's batch norm, so that `x + branch(x)` starts as x (Goyal et al., 2017)."""
    norm = branch[1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    return branch


@lru_cache(maxsize=4096)
def conv_part(channels: int, kernel: int = 3, stride: int = 1) -> Part:
    """A `Conv` as data."""
    steps = (Step("conv", kernel, stride),) if stride > 1 else ()
    return Part(Conv, convolution, (channels, kernel, stride), f"conv {kernel}×{kernel}{strided(stride)}", steps)
