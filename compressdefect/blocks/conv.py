"""Convolution, batch norm, ReLU: the node that every other block is made of."""

from __future__ import annotations

from torch import nn


class Conv(nn.Sequential):
    """(N, C, H, W) → (N, channels, ⌈H/stride⌉, ⌈W/stride⌉): convolution without bias, batch norm, and ReLU if asked.

    Its cost is `cost.piece.convolution` with the same arguments.
    """

    def __init__(
        self, inputs: int, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
        ]
        super().__init__(*layers, *([nn.ReLU()] if relu else []))


def start_as_identity(branch: Conv) -> Conv:
    """Zero the γ of a branch's batch norm, so that `x + branch(x)` starts as x (Goyal et al., 2017)."""
    norm = branch[1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    return branch
