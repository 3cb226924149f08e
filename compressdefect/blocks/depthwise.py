"""Depthwise convolution, with a gradient that is fast on a CPU.

oneDNN convolves depthwise as fast as memory allows, but falls back to reference loops for two of the gradients. Forward
and both gradients of 16 × 16 × 56 × 56 bfloat16 in channels_last (1 thread, an AMD EPYC with AVX-512):

| kernel, stride | its own | here |
|---|---|---|
| 5×5, 1 | 280 + 561 + 8,568 µs | 280 + 561 + 1,372 µs: the weights' gradient three columns of the kernel at a time |
| 3×3, 2 | 77 + 5,351 + 81 µs | 77 + 300 µs: that of a stride of 1, with zeros between the rows and columns |

Both say the same up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Sides = tuple[int, int]  # of rows, of columns

_WIDE = 3  # columns of a kernel whose weights' gradient oneDNN has a fast loop for


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself, without bias or dilation; of odd sides, with "same" padding.

    (N, C, H, W) → (N, C, ⌈H/stride⌉, ⌈W/stride⌉). Of an even side, which needs one row or column of padding more at the
    end, that is left to the caller. It is an `nn.Conv2d` in all but how it is trained on a CPU.
    """

    def __init__(self, channels: int, kernel: Sides, stride: int = 1) -> None:
        around = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
        super().__init__(channels, channels, kernel, stride, around, groups=channels, bias=False)
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        """Filter every channel."""
        if not self.training:
            return super().forward(x)
        return depthwise(x, self.weight, (self.stride[0], self.stride[1]), self.around)


def depthwise(x: Tensor, weight: Tensor, stride: Sides = (1, 1), padding: Sides = (0, 0)) -> Tensor:
    """(N, C, H, W), (C, 1, h, w) → (N, C, ·, ·), zeros around the map; to train with."""
    if x.device.type != "cpu":
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))
    y: Tensor = _Depthwise.apply(autocast(x), autocast(weight), stride, padding)
    return y


def autocast(x: Tensor) -> Tensor:
    """A tensor as a convolution under autocast on a CPU takes it: inside an autograd function nothing is cast."""
    return x.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else x


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Sides, padding: Sides) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, groups=x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        high, wide = (x.shape[2 + i] + 2 * ctx.padding[i] - weight.shape[2 + i] + 1 for i in (0, 1))
        gradient = spread(gradient, ctx.stride, high, wide)
        to_x, to_weight, *_ = ctx.needs_input_grad
        return (
            gradient_to_map(gradient, weight, ctx.padding) if to_x else None,
            _gradient_to_weight(gradient, x, weight, ctx.padding) if to_weight else None,
            None,
            None,
        )


def spread(gradient: Tensor, stride: Sides, height: int, width: int) -> Tensor:
    """The gradient as if all of (N, C, height, width) had been computed and rows and columns then been dropped."""
    if stride == (1, 1):
        return gradient
    count, channels = gradient.shape[:2]
    whole = gradient.new_zeros(count, height, width, channels).permute(0, 3, 1, 2)
    whole[:, :, :: stride[0], :: stride[1]] = gradient
    return whole


def gradient_to_map(gradient: Tensor, weight: Tensor, padding: Sides) -> Tensor:
    """That of a depthwise convolution of stride 1: one with the kernel turned by 180°, as fast as the forward one."""
    high, wide = (weight.shape[2 + i] - 1 - padding[i] for i in (0, 1))
    return functional.conv2d(gradient, weight.flip(2, 3), None, 1, (high, wide), groups=len(weight))


def _gradient_to_weight(gradient: Tensor, x: Tensor, weight: Tensor, padding: Sides) -> Tensor:
    if weight.shape[3] > _WIDE:
        return _by_columns(gradient, x, weight, padding)
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], len(weight), [False, True, False]
    )[1]
    return found


def _by_columns(gradient: Tensor, x: Tensor, weight: Tensor, padding: Sides) -> Tensor:
    """The gradient of weights (C, 1, h, w), from as many convolutions as the kernel has triples of columns."""
    width, narrow = weight.shape[3], weight[..., :_WIDE]
    parts = []
    for first in range(0, width, _WIDE):
        start = min(first, width - _WIDE)  # the last triple may share columns with the one before
        before = padding[1] - start
        window = functional.pad(x, (before, gradient.shape[3] + _WIDE - 1 - x.shape[3] - before))
        parts.append(_gradient_to_weight(gradient, window, narrow, (padding[0], 0))[..., first - start :])
    return torch.cat(parts, dim=3)
