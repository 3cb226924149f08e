"""The LW bottleneck against the paper's equation and its own definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from compressdefect.blocks.lw import KERNEL_SETS, PYRAMID, LWBottleneck
from compressdefect.blocks.same_conv import SameConv


@pytest.mark.parametrize(("inputs", "channels"), [(8, 16), (24, 24), (32, 64)])
def test_the_weights_are_those_of_equation_5(inputs: int, channels: int) -> None:
    block = LWBottleneck(inputs, channels)
    weights = sum(layer.weight.numel() for layer in block.modules() if isinstance(layer, nn.Conv2d))
    assert weights == (33 + 8 * channels) * inputs


def test_the_paper_has_eight_kernels_and_every_set_is_different() -> None:
    assert len(PYRAMID) == 8
    assert len(set(KERNEL_SETS.values())) == len(KERNEL_SETS)
    assert all(len(set(kernels)) == len(kernels) for kernels in KERNEL_SETS.values())


def test_it_is_paths_then_a_linear_shrink_then_the_input() -> None:
    torch.manual_seed(0)
    block, x = LWBottleneck(6, 6).eval(), 4 * torch.randn(2, 6, 9, 10)
    paths = torch.cat([path(x) for path in block.paths], dim=1)
    assert (paths.min(), paths.max()) == (0, 6)
    with torch.no_grad():
        shrunk = block.shrink(paths)
        assert shrunk.min() < 0
        torch.testing.assert_close(block(x), x + shrunk)


@pytest.mark.parametrize("make", [lambda: LWBottleneck(6, 6, stride=2), lambda: LWBottleneck(6, 8)])
def test_shapes_that_differ_have_no_residual(make: type[LWBottleneck]) -> None:
    block = make().eval()
    nn.init.zeros_(block.shrink[0].weight)
    assert not block(torch.randn(1, 6, 7, 7)).any()


@pytest.mark.parametrize("kernel", [(2, 1), (1, 2), (2, 2), (4, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_even_kernels_are_padded_at_the_end(kernel: tuple[int, int], stride: int) -> None:
    torch.manual_seed(0)
    conv, x = SameConv(3, 5, kernel, stride, relu=False).eval(), torch.randn(1, 3, 8, 9)
    weight = conv[1].weight
    before, after = [(side - 1) // 2 for side in kernel], [side // 2 for side in kernel]
    padded = functional.pad(x, (before[1], after[1], before[0], after[0]))
    expected = functional.conv2d(padded, weight, stride=stride) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).shape[-2:] == (-(-8 // stride), -(-9 // stride))
