from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from compressdefect.blocks.depthwise import DepthwiseConv2d, depthwise


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (1, 2)])
@pytest.mark.parametrize("kernel", [(1, 5), (5, 1), (3, 3), (5, 5), (7, 7), (2, 2), (1, 4)])
@pytest.mark.parametrize("size", [(9, 10), (12, 7)])
def test_gradients_are_those_of_the_convolution(
    kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(8, 1, *kernel, generator=generator, dtype=torch.float64)
    padding = (kernel[0] // 2, kernel[1] // 2)
    given = [tensor.to(memory_format=torch.channels_last).requires_grad_() for tensor in (x, weight)]
    outputs = (
        depthwise(*given, stride, padding),
        functional.conv2d(*given, None, stride, padding, groups=8),
    )
    gradient = torch.randn(outputs[0].shape, generator=generator, dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(y, given, gradient) for y in outputs), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(*outputs)


def test_it_keeps_the_precision_of_autocast() -> None:
    convolution, x = DepthwiseConv2d(8, (5, 5)), torch.randn(2, 8, 6, 7, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolution(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.dtype == x.grad.dtype == torch.float32  # type: ignore[union-attr]
