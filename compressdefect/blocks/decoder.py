"""Segmentation decoder of LW CNN (Huang et al., 2020, §3.3 and Fig. 3): ASPP, bilinear upsampling, a shortcut.

ASPP reads the last map of an encoder; a pointwise convolution mixes its branches; the result is brought to the size of
a shortcut from an earlier map, joined with it, refined and classified by two more pointwise convolutions. The logits
leave at the shortcut's size.

Choices: the paper prints neither widths nor where the three pointwise convolutions stand. Branches and refinement of
128 maps, 512 mixed ones before the upsampling, and a shortcut that is concatenated unreduced come closest to its
weights and FLOPs. Batch norm and ReLU6 follow all but the last convolution, which has a bias.

``join="sum"`` is ours: a pointwise convolution of a concatenation is the sum of two, and it commutes with the bilinear
upsampling, whose weights sum to 1. So the larger part of the refinement can run on the small map, before it is grown:
the same functions at half of the paper's operations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressdefect.blocks.aspp import ASPP, PAPER_RATES, Rates, aspp_cost
from compressdefect.blocks.same_conv import SameConv, same_conv_cost
from compressdefect.cost.piece import Piece, Shape, chain, convolution, operator, size

JOINS = ("concat", "sum")


class Decoding(NamedTuple):
    """What a decoder is made of.

    Attributes:
        width: maps of each branch of the ASPP.
        rates: atrous rates of its branches beside the pointwise one.
        mixed: maps that the branches are mixed into, before the upsampling.
        refined: maps that are classified.
        join: how the shortcut comes in: "concat", or "sum" of two pointwise convolutions.
    """

    width: int = 128
    rates: Rates = PAPER_RATES
    mixed: int = 512
    refined: int = 128
    join: str = "concat"


class Decoder(nn.Module):
    """Maps (N, C, h, w) and (N, S, H, W) → logits (N, classes, H, W)."""

    def __init__(self, inputs: int, shortcut: int, classes: int, how: Decoding = Decoding()) -> None:  # noqa: B008
        super().__init__()
        assert how.join in JOINS, how.join
        self.aspp = ASPP(inputs, how.width, how.rates)
        self.mix = SameConv(how.width * (1 + len(how.rates)), how.mixed)
        self.sums = how.join == "sum"
        if self.sums:
            self.refine = SameConv(how.mixed, how.refined, relu=False)
            self.refine_shortcut = SameConv(shortcut, how.refined, relu=False)
            self.relu = nn.ReLU6()
        else:
            self.refine = SameConv(how.mixed + shortcut, how.refined)
        self.classify = nn.Conv2d(how.refined, classes, 1)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Mix the pyramid, join the shortcut at its size, classify every pixel."""
        x = self.mix(self.aspp(x))
        if self.sums:
            x = upsample(self.refine(x), shortcut)
            x = self.relu(x + self.refine_shortcut(shortcut))
        else:
            x = self.refine(torch.cat([upsample(x, shortcut), shortcut], dim=1))
        logits: Tensor = self.classify(x)
        return logits


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """A map at another's height and width, bilinearly."""
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def upsample_cost(shape: Shape, like: Shape) -> Piece:
    """Closed form of `upsample`: no macs."""
    return operator(shape, (shape[0], *like[1:]))


def decoder_cost(rest: Piece, shortcut: Shape, classes: int, how: Decoding) -> Piece:
    """Closed form of `Decoder` together with the part of the encoder that lies between its two inputs.

    Args:
        rest: the encoder from the shortcut's map to the last map.
        shortcut: (S, H, W).
        classes: maps of logits.
        how: the decoder.
    """
    small = chain(shortcut, rest, *[piece for _, piece in before_join(rest.out, shortcut, how)])
    large = chain(shortcut, *[piece for _, piece in behind_join(small.out, shortcut, classes, how)])
    params, macs = small.params + large.params, small.macs + large.macs
    return Piece(large.out, params, macs, max(small.held, large.peak), max(small.held, large.held))


def before_join(shape: Shape, shortcut: Shape, how: Decoding) -> list[tuple[str, Piece]]:
    """What runs on the small map, up to its upsampling, in order, each by its name."""
    rows = [("aspp", aspp_cost(shape, how.width, how.rates))]
    rows.append(("mix", same_conv_cost(rows[-1][1].out, how.mixed)))
    if how.join == "sum":
        rows.append(("refine", same_conv_cost(rows[-1][1].out, how.refined)))
    return [*rows, ("upsample", upsample_cost(rows[-1][1].out, shortcut))]


def behind_join(shape: Shape, shortcut: Shape, classes: int, how: Decoding) -> list[tuple[str, Piece]]:
    """What runs at the shortcut's size, from the join on; ``shape`` is the upsampled map's."""
    refined = (how.refined, *shortcut[1:])
    if how.join == "sum":
        own = same_conv_cost(shortcut, how.refined)
        waiting = size(refined)  # the upsampled map
        rows = [("refine_shortcut", own._replace(peak=own.peak + waiting, held=own.held + waiting))]
        rows.append(("sum", Piece(refined, 0, 0, 3 * waiting, 3 * waiting)))
    else:
        joined = (shape[0] + shortcut[0], *shortcut[1:])
        rows = [("concat", Piece(joined, 0, 0, 2 * size(joined), 2 * size(joined)))]
        rows.append(("refine", same_conv_cost(joined, how.refined)))
    return [*rows, ("classify", convolution(refined, classes, 1, norm=False))]
