"""Anti-aliased downsampling (AADS; Zhang, 2019): low-pass first, then drop every other pixel.

The filter is binomial, comb(k-1, i) / 2^(k-1), its outer product is applied per channel as one fixed depthwise
convolution of stride 2: no parameters, k²·C·Ho·Wo macs. In front of it, a max pool of stride 1 turns "max pooling"
into its anti-aliased form. Maps no larger than the padding are padded by replication, since reflection needs more.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from compressdefect.blocks.depthwise import autocast, gradient_to_map, spread
from compressdefect.cost.piece import Piece, Shape, chain, operator


class BlurPool(nn.Module):
    """(N, C, H, W) → (N, C, ⌈H/2⌉, ⌈W/2⌉)."""

    stride = 2

    def __init__(self, channels: int, kernel: int = 3, maximum: bool = False) -> None:
        super().__init__()
        row = torch.tensor([comb(kernel - 1, i) for i in range(kernel)], dtype=torch.float32) / 2 ** (kernel - 1)
        self.filter: Tensor
        self.register_buffer("filter", torch.outer(row, row)[None, None], persistent=False)
        self.maximum = nn.MaxPool2d(3, stride=1, padding=1) if maximum else nn.Identity()
        self.padding = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Pad, filter and subsample."""
        x = self.maximum(x)
        reflects = min(x.shape[-2:]) > self.padding[1]
        weight = self.filter.expand(x.shape[1], -1, -1, -1)  # however many channels there are
        if self.training and reflects and x.device.type == "cpu":
            x = autocast(x)
            blurred: Tensor = _Blur.apply(x, weight.to(x.dtype), self.stride, self.padding)
            return blurred
        x = functional.pad(x, self.padding * 2, mode="reflect" if reflects else "replicate")
        return functional.conv2d(x, weight, stride=self.stride, groups=x.shape[1])


class _Blur(torch.autograd.Function):
    """The same on a CPU, with a gradient that takes a third of the time of oneDNN's and of the padding's own.

    Of 16 × 32 × 56 × 56 bfloat16 in channels_last: 0.75 ms instead of 2.85, forward and backward (see
    `blocks.depthwise`).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.stride, ctx.padding = x.shape[2:], (stride, stride), padding
        padded = functional.pad(x, padding * 2, mode="reflect")
        return functional.conv2d(padded, weight, stride=stride, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        whole = spread(gradient, ctx.stride, *ctx.size)
        padded = gradient_to_map(whole, weight, (0, 0))
        for dim in (2, 3):
            padded = _unreflect(padded, dim, ctx.padding)
        return padded.contiguous(memory_format=torch.channels_last), None, None, None


def _unreflect(gradient: Tensor, dim: int, padding: tuple[int, int]) -> Tensor:
    """What the gradient of a map that was padded by reflection says of the map itself, along one dimension."""
    before, after = padding
    first, last = before, gradient.shape[dim] - after - 1  # of the map's own rows
    for step in range(1, before + 1):
        gradient.select(dim, first + step).add_(gradient.select(dim, first - step))
    for step in range(1, after + 1):
        gradient.select(dim, last - step).add_(gradient.select(dim, last + step))
    return gradient.narrow(dim, first, last - first + 1)


@lru_cache(maxsize=8192)
def blurpool_cost(shape: Shape, kernel: int = 3, maximum: bool = False) -> Piece:
    """Closed form of `BlurPool`: perhaps a max pool, the padding, the filter.

    The exported graph computes a reflected blur of 3 as two averages, and what lies between has no border.
    """
    channels, height, width = shape
    border = -1 if kernel == 3 and min(height, width) > 1 else kernel - 1
    between = (channels, height + border, width + border)
    out = (channels, (height + 1) // 2, (width + 1) // 2)
    blur = operator(between, out, macs=kernel * kernel * channels * out[1] * out[2])
    before = (operator(shape, shape),) if maximum else ()
    return chain(shape, *before, operator(shape, between), blur)
