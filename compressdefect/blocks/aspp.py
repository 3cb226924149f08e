"""Atrous spatial pyramid pooling (Chen et al., 2018, DeepLabv3+), as light as LW CNN has it (Huang et al., 2020, §3.3).

One pointwise convolution and, for every atrous rate, one depthwise-separable 3×3 read the same map; their outputs are
concatenated. The paper's rates are 6, 12 and 18.

Choices: batch norm and ReLU6 follow every convolution, the depthwise ones too; there is no image-level pooling.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from compressdefect.blocks.part import Part
from compressdefect.blocks.same_conv import SameConv, same_conv_cost
from compressdefect.cost.piece import Piece, Shape, chain, concatenated

Rates = tuple[int, ...]

PAPER_RATES: Rates = (6, 12, 18)


class ASPP(nn.Module):
    """(N, C, H, W) → (N, width · (1 + rates), H, W)."""

    def __init__(self, inputs: int, width: int, rates: Rates = PAPER_RATES) -> None:
        super().__init__()
        self.branches = nn.ModuleList([SameConv(inputs, width)])
        for rate in rates:
            atrous = SameConv(inputs, inputs, (3, 3), groups=inputs, dilation=rate)
            self.branches.append(nn.Sequential(atrous, SameConv(inputs, width)))

    def forward(self, x: Tensor) -> Tensor:
        """Run every branch on the input and concatenate."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@lru_cache(maxsize=4096)
def aspp_cost(shape: Shape, width: int, rates: Rates = PAPER_RATES) -> Piece:
    """Closed form of `ASPP`; what the rates are changes nothing, how many there are does."""
    pointwise = same_conv_cost(shape, width)
    separable = chain(shape, same_conv_cost(shape, shape[0], (3, 3), 1, shape[0]), pointwise)
    return concatenated(shape, [pointwise, *[separable] * len(rates)])


@lru_cache(maxsize=1024)
def aspp_part(width: int, rates: Rates = PAPER_RATES) -> Part:
    """An `ASPP` as data."""
    return Part(ASPP, aspp_cost, (width, rates), f"aspp {', '.join(map(str, rates))}", uncounted=("hardtanh",))
