"""LW bottleneck (Huang et al., 2020, §3.2): a pyramid of small depthwise kernels, then one linear pointwise.

Every kernel of the set is a depthwise path of its own with batch norm and ReLU6; the paths are concatenated and a
pointwise convolution without activation shrinks them. The input is added where the shapes agree. With the paper's
eight kernels the convolutions have (33 + 8·Cout)·Cin weights (Eq. 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from compressdefect.blocks.part import Part, Step, strided
from compressdefect.blocks.same_conv import Kernel, SameConv, same_conv_cost, uncounted
from compressdefect.cost.piece import Piece, Shape, chain, concatenated, skip

Kernels = tuple[Kernel, ...]

PYRAMID: Kernels = ((5, 1), (1, 5), (3, 1), (1, 3), (2, 1), (1, 2), (2, 2), (3, 3))

KERNEL_SETS: Mapping[str, Kernels] = {
    "pyramid": PYRAMID,
    "odd": ((5, 1), (1, 5), (3, 1), (1, 3), (3, 3)),
    "lines": ((5, 1), (1, 5), (3, 1), (1, 3)),
    "cross": ((5, 1), (1, 5), (3, 3)),
    "squares": ((3, 3), (5, 5)),
    "square": ((3, 3),),
}
"""Sets by name: the paper's, and parts of it. A set of n kernels makes the pointwise convolution read n·Cin maps."""


class LWBottleneck(nn.Module):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉); with stride 1 and channels = C the input is added."""

    def __init__(self, inputs: int, channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> None:
        super().__init__()
        self.paths = nn.ModuleList(SameConv(inputs, inputs, kernel, stride, groups=inputs) for kernel in kernels)
        self.shrink = SameConv(len(kernels) * inputs, channels, relu=False)
        self.adds = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        """Run the paths, concatenate, shrink, add."""
        shrunk: Tensor = self.shrink(torch.cat([path(x) for path in self.paths], dim=1))
        return x + shrunk if self.adds else shrunk


@lru_cache(maxsize=16384)
def lw_cost(shape: Shape, channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> Piece:
    """Closed form of `LWBottleneck`."""
    paths = concatenated(shape, [same_conv_cost(shape, shape[0], kernel, stride, shape[0]) for kernel in kernels])
    body = chain(shape, paths, same_conv_cost(paths.out, channels))
    return skip(shape, body) if stride == 1 and channels == shape[0] else body


@lru_cache(maxsize=4096)
def lw_part(channels: int, kernels: Kernels = PYRAMID, stride: int = 1) -> Part:
    """An `LWBottleneck` as data; each of its paths lowers the resolution by itself."""
    return Part(
        LWBottleneck,
        lw_cost,
        (channels, kernels, stride),
        f"bottleneck {', '.join(f'{height}×{width}' for height, width in kernels)}{strided(stride)}",
        tuple(Step("conv", max(kernel), stride) for kernel in kernels) if stride > 1 else (),
        uncounted(kernels),
    )
