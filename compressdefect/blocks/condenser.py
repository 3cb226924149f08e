"""Visual attention condenser (VAC; Wong et al., 2020, AttendNets): self-attention computed on a condensed map.

Condense Q = C(V) by max pooling, embed K = E(Q) by pairs of a grouped 3×3 and a pointwise convolution in C / r
channels, expand A = X(K) to C channels and the input's size, and attend: V' = V ⊙ σ(A)·S + V, S learned per channel.

Deviations: the papers leave C, E and X open; these are the public readings. The expansion is nearest-neighbour,
so σ(A)·S + 1 is taken on the small map and expanded once: the same function with a pool²-th of the work.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressdefect.blocks.conv import Conv
from compressdefect.cost.piece import Piece, Shape, chain, convolution, gate, operator


class Condensing(NamedTuple):
    """How strongly a condenser condenses.

    Attributes:
        reduction: r; the embedding has C / r channels, rounded up to a multiple of the groups.
        pool: size and stride of the condensing max pool; a map's last, partial window counts.
        depth: n, pairs of grouped and pointwise convolution in the embedding.
        groups: of the grouped convolution, lowered to a divisor of C; 1 is fastest on maps as small as these.
    """

    reduction: int = 4
    pool: int = 2
    depth: int = 1
    groups: int = 1


class Condenser(nn.Module):
    """(N, C, H, W) → the same, any H and W."""

    def __init__(self, channels: int, how: Condensing = Condensing()) -> None:  # noqa: B008 (immutable)
        super().__init__()
        groups, inner = _inner(channels, how)
        self.pool = how.pool
        self.condense = nn.MaxPool2d(how.pool, ceil_mode=True)
        self.embed = nn.Sequential()
        for index in range(how.depth):
            inputs = inner if index else channels
            self.embed.append(nn.Conv2d(inputs, inner, 3, padding=1, groups=groups))
            self.embed.append(Conv(inner, inner, kernel=1))
        self.expand = nn.Conv2d(inner, channels, 1)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """V' = V ⊙ (σ(A)·S + 1)."""
        attention = self.expand(self.embed(self.condense(x))).sigmoid()
        gain = functional.interpolate(
            attention * self.scale.to(attention.dtype) + 1, scale_factor=float(self.pool), mode="nearest"
        )
        height, width = x.shape[-2:]
        return x * gain[..., :height, :width]


@lru_cache(maxsize=16384)
def condenser_cost(shape: Shape, how: Condensing) -> Piece:
    """Closed form of `Condenser`."""
    channels, height, width = shape
    groups, inner = _inner(channels, how)
    small = (channels, -(-height // how.pool), -(-width // how.pool))
    embedded = (inner, *small[1:])
    steps = [operator(shape, small)]
    for index in range(how.depth):
        steps.append(convolution(embedded if index else small, inner, 3, 1, groups, False))
        steps.append(convolution(embedded, inner, 1))
    steps.append(convolution(embedded, channels, 1, 1, 1, False))
    steps += [operator(small, small), operator(small, small, params=channels), operator(small, small)]  # σ, ·S, +1
    grown = (channels, small[1] * how.pool, small[2] * how.pool)
    cut = (channels, height, grown[2])
    steps.append(operator(small, grown))
    steps += [operator(a, b) for a, b in ((grown, cut), (cut, shape)) if a != b]
    return gate(shape, chain(shape, *steps))


def _inner(channels: int, how: Condensing) -> tuple[int, int]:
    """Groups and channels of the embedding."""
    groups = gcd(channels, how.groups)
    return groups, groups * max(1, -(-channels // (how.reduction * groups)))
